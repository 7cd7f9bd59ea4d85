"""Generates an endless stream of applications, reproducible by seed and fast enough for load tests of a cluster."""

from collections.abc import Callable, Collection, Iterator
from typing import Final, NamedTuple

import numpy as np

from producer.drawing import Path, Population, Values
from producer.invalid import Spoiler
from producer.writing import ObjectWriter
from schemas.contract import ID_CHARACTERS_MAX, Contract
from schemas.contracts import shipped_contract
from schemas.profile import Profile
from schemas.rejection import RejectionCode

# Applicants are drawn in blocks: large enough for numpy to pay off, small enough that a block takes well under a
# millisecond and does not delay a load test. A different block size gives different applications for the same seed.
_BLOCK: Final = 512
_PREFIX_CHARACTERS_MAX: Final = 48
_DIGITS: Final = 16  # of the number in an id, with its hyphen; more than any load sends


class GeneratedRecord(NamedTuple):
    """A generated record for the input topic.

    Attributes:
        key: the application's id in UTF-8.
        value: the application as JSON, or an invalid value.
        code: the code with which the scorer rejects it; None if it is valid.
    """

    key: bytes
    value: bytes
    code: RejectionCode | None


def generate_applications(
    seed: int,
    prefix: str | None = None,
    invalid_share: float = 0.0,
    contract: Contract | None = None,
    profile: Profile | None = None,
) -> Iterator[GeneratedRecord]:
    """Generates applications, without end.

    With a profile they resemble the data that it was made of, field by field. Without one, those of the shipped
    contract resemble the course's data, with its correlations, and those of others are drawn uniformly from what the
    contract accepts.

    Args:
        seed: the random seed; the same arguments give the same records.
        prefix: the ids are `prefix-0`, `prefix-1` and so on; default: `load-SEED`. Loads that must not share ids need
            different prefixes. If it is empty, the ids are the numbers alone.
        invalid_share: the share of invalid records, 0 to 1, spread over the rejection codes that a record can cause.
        contract: the contract of the applications; default: credit-application, which is shipped.
        profile: the statistics of similar applications.

    Raises:
        ValueError: `invalid_share` is not from 0 to 1, or the prefix is too long for the contract's ids.
    """
    contract = contract or shipped_contract()
    prefix = fit_prefix(f"load-{seed}", contract) if prefix is None else prefix
    if not 0 <= invalid_share <= 1:
        raise ValueError("invalid_share must be from 0 to 1")
    if not prefix.isascii() or not prefix.isprintable() or set(prefix) & {'"', "\\"}:
        raise ValueError("the prefix must be printable ASCII characters without quotes and backslashes")
    if prefix != fit_prefix(prefix, contract):
        characters_max = _prefix_characters_max(contract)
        raise ValueError(f"the prefix must be at most {characters_max} characters for ids of {contract}")
    return _generate(np.random.default_rng(seed), prefix, invalid_share, contract, profile)


def fit_prefix(prefix: str, contract: Contract) -> str:
    """The end of a prefix that leaves room for the numbers in the contract's ids."""
    return prefix[-characters_max:] if (characters_max := _prefix_characters_max(contract)) else ""


def _prefix_characters_max(contract: Contract) -> int:
    return max(0, min(_PREFIX_CHARACTERS_MAX, (contract.id_field.length_max or ID_CHARACTERS_MAX) - _DIGITS))


def _generate(
    random: np.random.Generator, prefix: str, invalid_share: float, contract: Contract, profile: Profile | None
) -> Iterator[GeneratedRecord]:
    spoiler = Spoiler(contract)
    draw, optional = _population_of(contract, profile)
    writer = ObjectWriter(contract.application, optional)
    start = 0
    while True:
        is_invalid = (random.random(_BLOCK) < invalid_share).tolist()
        values = draw(random, _BLOCK)
        ids = _ids(contract, prefix, start)
        texts = writer.write({**values, contract.id_path: [f'"{id_}"' for id_ in ids]})
        for invalid, id_, text in zip(is_invalid, ids, texts, strict=True):
            value = text.encode()
            result = spoiler.make_invalid(value, random) if invalid else (value, None)
            yield GeneratedRecord(id_.encode(), *result)
        start += _BLOCK


def _population_of(
    contract: Contract, profile: Profile | None
) -> tuple[Callable[[np.random.Generator, int], Values], Collection[Path]]:
    """Returns how to draw a contract's applications, and which of its fields and objects they may lack."""
    if profile is None and contract == shipped_contract():
        from schemas.contracts.credit_applicants import draw_values

        return draw_values, ()
    population = Population(contract, profile)
    return population.draw, population.optional


def _ids(contract: Contract, prefix: str, start: int) -> list[str]:
    """The ids of a block; they begin again from 0 when the contract's ids have no room for more digits."""
    field = contract.id_field
    begin = f"{prefix}-" if prefix else ""
    end = 10 ** min(_DIGITS, (field.length_max or ID_CHARACTERS_MAX) - len(begin))
    template = f"{begin.replace('%', '%%')}%0{max(1, field.length_min - len(begin))}d"
    return [template % (number % end) for number in range(start, start + _BLOCK)]
