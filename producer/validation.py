"""Validates applications before they are sent, by the scorer's rules."""

from pydantic import ValidationError

from producer.errors import Fault, InvalidApplicationError
from schemas.application import CreditApplication
from schemas.strict_json import find_repeated, parse_strictly


def validate_application(value: bytes) -> CreditApplication:
    """Validates an application against the contract.

    Args:
        value: the application as JSON.

    Raises:
        InvalidApplicationError: lists all faults; the scorer would reject the record.
    """
    try:
        members = parse_strictly(value.decode())
    except UnicodeDecodeError as error:
        raise _invalid(f"not UTF-8: see byte {error.start}") from None
    except ValueError as error:
        raise _invalid(str(error)) from None
    if not isinstance(members, tuple):
        raise _invalid("JSON but not an object")
    repeated = find_repeated(members, CreditApplication.model_fields)
    if repeated:
        raise InvalidApplicationError(tuple(Fault(name, "given twice") for name in repeated))
    try:
        return CreditApplication.model_validate_json(value)
    except ValidationError as error:
        faults = error.errors(include_url=False, include_context=False, include_input=False)
    raise InvalidApplicationError(tuple(Fault(".".join(map(str, fault["loc"])), fault["msg"]) for fault in faults))


def _invalid(rule: str) -> InvalidApplicationError:
    return InvalidApplicationError((Fault("", rule),))
