"""Policies that a command is given: in a policy file, or in a bundle; with the contract that they are for."""

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from scorer.cli.completion import complete_reference
from scorer.cli.model_options import read_contract
from scorer.errors import MisuseError

if TYPE_CHECKING:
    from schemas.contract import Contract
    from scorer.core.decide import Decider
    from scorer.core.policy import Policy
    from scorer.store.store import BundleStore

PolicyArgument = Annotated[
    str,
    typer.Argument(
        metavar="FILE|REF",
        help="A policy file (TOML), or a bundle: name:version, name:tag or name@digest.",
        autocompletion=complete_reference,
    ),
]
ForBundleOption = Annotated[
    str | None,
    typer.Option(
        "--bundle",
        metavar="REF",
        help="Bundle that a policy file is for: its contract and its catalogue of reasons.",
        autocompletion=complete_reference,
    ),
]


class PolicySource(NamedTuple):
    """A policy, and the contract of its applications.

    Attributes:
        decider: the policy.
        contract: the contract.
        cases: the file of cases that its policy file names; None if it names none.
    """

    decider: "Decider"
    contract: "Contract"
    cases: Path | None


def read_source(source: str, bundles: "BundleStore", bundle: str | None, contract: Path | None) -> PolicySource:
    """Reads the policy that a command is given.

    Args:
        source: the path of a policy file, or a reference.
        bundles: the store.
        bundle: reference to the bundle that a policy file is for.
        contract: the contract that a policy file is for; default: that of the bundle, or the shipped one.

    Raises:
        MisuseError: the file cannot be read, or is not a policy of the contract.
        BundleError: a bundle cannot be found or read.
    """
    from scorer.bundle.load import read_contract_of, read_manifest

    if not Path(source).is_file():
        folder = bundles.find(source)
        _, own_contract = read_contract_of(folder, source)
        return PolicySource(prepare(read_manifest(folder).policy, own_contract, source), own_contract, None)
    if bundle is not None and contract is not None:
        raise MisuseError("--bundle and --contract: give one of them; a bundle has its own contract")
    if bundle is None:
        return read_for(Path(source), read_contract(contract), None)
    folder = bundles.find(bundle)
    reasons = read_manifest(folder).reasons
    return read_for(Path(source), read_contract_of(folder, bundle)[1], reasons.codes if reasons else ())


def read_for(path: Path, contract: "Contract", codes: Collection[str] | None) -> PolicySource:
    """Reads a policy file for a contract; `codes` are those of the bundle's catalogue of reasons, None if unknown.

    Raises:
        MisuseError: the file cannot be read, or is not a policy of the contract.
    """
    from scorer.author.policy_file import read_policy_file

    file = read_policy_file(path)
    if codes is not None:
        try:
            file.policy.check_reasons(codes)
        except ValueError as error:
            raise MisuseError(f"{path}: {error}") from None
    cases = None if file.cases is None else path.parent / file.cases
    return PolicySource(prepare(file.policy, contract, str(path)), contract, cases)


def prepare(policy: "Policy", contract: "Contract", called: str) -> "Decider":
    """Prepares a policy for a contract.

    Raises:
        MisuseError: a rule or a segment does not fit the contract; the message names it.
    """
    from scorer.core.decide import Decider

    try:
        return Decider(policy, contract)
    except ValueError as error:
        raise MisuseError(f"{called}: {error}") from None
