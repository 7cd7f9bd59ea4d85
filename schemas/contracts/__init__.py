"""The contracts that are shipped with the product."""

from functools import cache
from importlib.resources import files
from typing import Final

from schemas.contract import Contract
from schemas.contract_parser import parse_contract

CREDIT_APPLICATION: Final = "credit-application"


@cache
def shipped_contract(name: str = CREDIT_APPLICATION) -> Contract:
    """Returns a shipped contract by its name; bundles of manifest versions 1 and 2 have the default one."""
    return parse_contract((files("schemas.contracts") / f"{name}.schema.json").read_bytes())
