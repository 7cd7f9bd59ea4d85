"""Validates applications before they are sent, by the scorer's rules."""

from pydantic_core import from_json

from producer.errors import Fault, InvalidApplicationError
from schemas.contract import Contract
from schemas.strict_json import parse_strictly
from schemas.validation import find_faults, find_repeated_members


def validate_application(value: bytes, contract: Contract) -> str:
    """Validates an application against a contract.

    Args:
        value: the application as JSON.
        contract: the contract.

    Returns:
        The application's id.

    Raises:
        InvalidApplicationError: lists all faults; the scorer would reject the record.
    """
    try:
        members = parse_strictly(value.decode())
        application = from_json(value, allow_inf_nan=False) if isinstance(members, tuple) else None
    except UnicodeDecodeError as error:
        raise _invalid(f"not UTF-8: see byte {error.start}") from None
    except ValueError as error:
        raise _invalid(str(error)) from None
    if application is None:
        raise _invalid("JSON but not an object")
    repeated = find_repeated_members(contract, members)
    if repeated:
        raise InvalidApplicationError(tuple(Fault(name, "given twice") for name in repeated))
    faults = find_faults(contract, application)
    if faults:
        raise InvalidApplicationError(tuple(Fault(fault.name, fault.rule) for fault in faults))
    return contract.id_of(application)


def _invalid(rule: str) -> InvalidApplicationError:
    return InvalidApplicationError((Fault("", rule),))
