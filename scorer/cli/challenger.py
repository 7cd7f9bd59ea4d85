"""`scorer challenger`: how the challenger would have decided the newest applications."""

import json
from typing import Annotated

import typer

from scorer.cli.announce import champion_of
from scorer.cli.decisions import decisions_as_json, print_decisions
from scorer.cli.options import ConfigOption, JsonOption, ServersOption, SetOption, StoreOption, broker_settings_of
from scorer.cli.progress_bar import elapsed_time
from scorer.errors import DeploymentError


def challenger(
    sample: Annotated[
        int, typer.Option("--sample", min=1, max=1_000_000, metavar="N", help="Number of the newest applications.")
    ] = 10_000,
    store: StoreOption = None,
    config: ConfigOption = None,
    bootstrap_servers: ServersOption = None,
    assignments: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Compare the challenger's decisions with the champion's: how many change from which label to which.

    The newest applications on the topic are scored with both bundles here, in the store of this machine; no field of an
    application is shown. The workers count all applications that they have compared in the metrics
    scorer_challenger_compared_total and scorer_challenger_disagreements_total.

    Examples:
    ```
    scorer challenger
    scorer challenger --sample 100000 --json
    ```
    """
    from scorer.author.diff import compare_decisions
    from scorer.operate.deployments import read_history
    from scorer.operate.newest import read_newest
    from scorer.operate.reading import Skipped
    from scorer.store.store import BundleStore
    from scorer.stream.history import fold

    settings = broker_settings_of(config, bootstrap_servers, assignments, store=store)
    state = fold(read_history(settings))
    references = champion_of(state, settings), state.current("challenger")
    if references[1] is None:
        raise DeploymentError("there is no challenger: scorer deploy REF --slot challenger --reason … deploys one")
    bundles, skipped = BundleStore(settings.store), Skipped()
    with elapsed_time(f"comparing the newest {sample:,} applications"):
        opened = bundles.open(str(references[0])), bundles.open(str(references[1]))
        batches = read_newest(settings, sample, skipped)
        decisions = compare_decisions(batches, opened, settings.record_bytes_max, keep_flips=False)
    champion_name, challenger_name = (bundle.reference.short for bundle in opened)
    if as_json:
        names = {"champion": champion_name, "challenger": challenger_name}
        typer.echo(json.dumps(names | decisions_as_json(decisions) | skipped.as_json(), indent=2))
        return
    typer.echo(f"The newest {decisions.rows:,} applications of {settings.applications_topic}:")
    print_decisions(decisions, f"rows: champion {champion_name}, columns: challenger {challenger_name}")
    if skipped.count:
        typer.echo(str(skipped))
