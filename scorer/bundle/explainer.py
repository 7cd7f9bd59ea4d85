"""Makes the explainer of an opened bundle: from tables of its trees, or with its model's library."""

from scorer.bundle.runners import GuardedModel
from scorer.core.catalogue import Reasons, check_fields
from scorer.core.contribution_tables import build_tables
from scorer.core.features import FeatureEncoding
from scorer.core.reasons import Explainer
from scorer.errors import BundleError


def make_explainer(reasons: Reasons, encoding: FeatureEncoding, model: GuardedModel) -> Explainer:
    """Returns the explainer of a bundle.

    A model's library computes contributions if the model is not one of numerical splits, is deeper than eight levels,
    or has too many leaves for tables. That takes at least ten times as long.

    Args:
        reasons: the bundle's reasons.
        encoding: its encoding.
        model: its model.

    Raises:
        BundleError: a reason is about a field that does not exist or is a prohibited basis; the runner cannot explain
            decisions; the model has no covers; or no reason is about a field that the model uses.
    """
    if not model.can_explain:
        raise BundleError(
            f"the manifest has reasons, but the runner {model.runner} cannot compute contributions: only xgboost can; "
            "leave the reasons out"
        )
    entries = {name: index for index, entry in enumerate(reasons.catalogue) for name in entry.fields}
    targets = [entries.get(name, -1) for name in encoding.column_fields]
    try:
        check_fields(reasons, encoding.contract, encoding.derived)
        trees = model.trees()
        tables = None if trees is None else build_tables(trees, targets)
        return Explainer(reasons.codes, targets, tables, model)
    except ValueError as error:
        raise BundleError(str(error)) from None


def describe_explainer(explainer: Explainer) -> str:
    """Says how many reasons there are and how contributions are computed, with the size of the tables."""
    if explainer.tables is None:
        method = "XGBoost computes contributions, which takes at least ten times as long as tables"
    else:
        method = f"contributions are looked up in tables of {explainer.tables.values.nbytes / 1e6:.1f} MB"
    return f"reasons: {len(explainer.codes)} in the catalogue; {method}"
