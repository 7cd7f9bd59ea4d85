"""Compiles the tables of the compiled engine from a bundle's contract, columns, policy and texts.

The engine (`engine/`) reads the attributes of these classes by name; `engine/src/tables.rs` describes them once more.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from schemas.contract import NUMBER_MAX, Contract, ContractField, ContractObject, Kind
from scorer.core.columns import UNKNOWN_CATEGORY, read_absent
from scorer.core.decide import Decider
from scorer.core.encode import DecisionEncoder
from scorer.core.evaluation import (
    NumberTest,
    Operation,
    Program,
    PushCategoryTest,
    PushColumn,
    PushConstant,
    Step,
)
from scorer.core.features import FeatureEncoding
from scorer.core.policy import LABELS
from scorer.core.reasons import Explainer, find_reasons

_LENGTH_MAX: Final = 2**31  # above every record
_OPERATIONS: Final = frozenset(
    {
        Operation.ADD, Operation.SUBTRACT, Operation.MULTIPLY, Operation.DIVIDE, Operation.NEGATE, Operation.ABSOLUTE,
        Operation.MINIMUM, Operation.MAXIMUM, Operation.IS_UNKNOWN, Operation.IS_KNOWN, Operation.KNOWN_IF_FINITE,
        Operation.LESS, Operation.LESS_OR_EQUAL, Operation.GREATER, Operation.GREATER_OR_EQUAL, Operation.EQUAL,
        Operation.DIFFERENT, Operation.BOTH, Operation.EITHER,
    }
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class MemberTable:
    """A member of an object: the position of a field, or of an object, which comes after this one."""

    name: bytes
    required: bool
    nullable: bool
    field: int | None = None
    object: int | None = None


@dataclass(frozen=True, slots=True)
class ObjectTable:
    """An object of the contract, with the range of the fields in it and in the objects in it."""

    members: Sequence[MemberTable]
    first_field: int
    end_field: int


@dataclass(frozen=True, slots=True)
class FieldTable:
    """A field; the attributes that its kind does not have are left out.

    Attributes:
        kind: the kind's name.
        absent: the value if the field is absent; a category's code, or days. NaN, or code -1, is unknown.
        low, high: the least and the greatest valid number.
        unknown: numbers that mean unknown, whatever the limits.
        categories: each valid value of a category, with its code.
        length_min, length_max: of texts, in characters.
    """

    kind: str
    absent: float
    low: float = -NUMBER_MAX
    high: float = NUMBER_MAX
    unknown: Sequence[float] = ()
    categories: Sequence[tuple[bytes, int]] = ()
    length_min: int = 0
    length_max: int = _LENGTH_MAX


@dataclass(frozen=True, slots=True)
class StepTable:
    """A step of a program, of a derived column or of a rule."""

    operation: str
    field: int = 0
    value: float = 0.0
    holds: bytes = b""
    values: Sequence[float] = ()


@dataclass(frozen=True, slots=True)
class ColumnsTable:
    """The matrix: columns with their fields, of one-hot categories by code (-1 is none), and derived ones."""

    width: int
    missing: float
    numbers: Sequence[tuple[int, int]]
    indexes: Sequence[tuple[int, int]]
    one_hot: Sequence[tuple[int, Sequence[int]]]
    derived: Sequence[tuple[int, Sequence[StepTable]]]


@dataclass(frozen=True, slots=True)
class PolicyTable:
    """The policy.

    Attributes:
        thresholds: pairs of `maybe_above` and `declined_above`; the first one is general.
        segments: the field of the segments, and for each of its codes the index of its thresholds; the last one is for
            unknown. None if all applications have the general ones.
        rules: for each rule the program of its condition, its label, and the index of its reason in the catalogue.
    """

    thresholds: Sequence[tuple[float, float]]
    segments: tuple[int, Sequence[int]] | None
    rules: Sequence[tuple[Sequence[StepTable], int, int]]


@dataclass(frozen=True, slots=True)
class DecisionTable:
    """The texts of decisions."""

    to_id: bytes
    outcomes: Sequence[bytes]
    end: bytes


@dataclass(frozen=True, slots=True)
class ReasonsTable:
    """The catalogue's codes as JSON, whether the model uses each entry, and the tables of contributions as bytes."""

    codes: Sequence[bytes]
    is_used: Sequence[bool]
    condition_counts: Sequence[int]
    columns: bytes = field(repr=False)
    thresholds: bytes = field(repr=False)
    is_less: bytes = field(repr=False)
    target_counts: Sequence[int]
    targets: bytes = field(repr=False)
    values: bytes = field(repr=False)


def compile_contract(contract: Contract) -> tuple[list[ObjectTable], list[FieldTable], int]:
    """Returns the objects, the application first; the fields; and the position of the id's field."""
    positions = {name: position for position, name in enumerate(contract.fields)}
    objects: list[ObjectTable] = []
    pending = [contract.application]
    while pending:
        group = pending.pop(0)
        end = len(objects) + len(pending) + 1  # the position of the next object that is appended
        members = []
        for member in group.members:
            if isinstance(member, ContractObject):
                pending.append(member)
                members.append(_member(member, object_=end))
                end += 1
            else:
                members.append(_member(member, field_=positions[member.name]))
        fields = [positions[field_.name] for field_ in group.fields()]
        objects.append(ObjectTable(members, fields[0], fields[-1] + 1))
    return objects, list(map(_compile_field, contract.fields.values())), positions[contract.id_field.name]


def _member(
    member: ContractField | ContractObject, *, field_: int | None = None, object_: int | None = None
) -> MemberTable:
    return MemberTable(member.path[-1].encode(), member.required, member.nullable, field_, object_)


def _compile_field(field_: ContractField) -> FieldTable:
    absent = math.nan if field_.kind is Kind.TEXT else read_absent(field_)
    match field_.kind:
        case Kind.NUMBER | Kind.INTEGER:
            limits = field_.limits
            return FieldTable(
                field_.kind,
                absent,
                low=max(limits.minimum, math.nextafter(limits.exclusive_minimum, math.inf), -NUMBER_MAX),
                high=min(limits.maximum, math.nextafter(limits.exclusive_maximum, -math.inf), NUMBER_MAX),
                unknown=[value for value in field_.unknown if isinstance(value, float)],
            )
        case Kind.CATEGORY:
            codes = {value: code for code, value in enumerate(field_.categories)}
            codes |= {str(value): UNKNOWN_CATEGORY for value in field_.unknown}
            return FieldTable(field_.kind, absent, categories=[(value.encode(), code) for value, code in codes.items()])
        case Kind.TEXT:
            length_max = _LENGTH_MAX if field_.length_max is None else field_.length_max
            return FieldTable(field_.kind, absent, length_min=field_.length_min, length_max=length_max)
        case _:
            return FieldTable(field_.kind, absent)


def compile_columns(encoding: FeatureEncoding) -> ColumnsTable:
    """Returns the matrix's columns.

    Raises:
        ValueError: the engine does not know an operation of a derived column.
    """
    positions = {name: position for position, name in enumerate(encoding.contract.fields)}
    return ColumnsTable(
        len(encoding.columns),
        encoding.missing,
        [(column, positions[name]) for column, name in encoding.numbers if name not in encoding.derived],
        [(column, positions[name]) for column, name in encoding.indexes],
        [(positions[name], targets[:-1].tolist()) for name, targets in encoding.one_hot.items()],
        [
            (column, _compile_program(encoding.derived[name].program, positions))
            for column, name in encoding.numbers
            if name in encoding.derived
        ],
    )


def _compile_program(program: Program, positions: Mapping[str, int]) -> list[StepTable]:
    # The engine has 1 and 0 for true and false, so that they are numbers already.
    return [_compile_step(step, positions) for step in program if step is not Operation.AS_NUMBER]


def _compile_step(step: Step, positions: Mapping[str, int]) -> StepTable:
    match step:
        case PushColumn(name):
            return StepTable("field", field=positions[name])
        case PushConstant(value):
            return StepTable("constant", value=value)
        case PushCategoryTest(name, holds):
            return StepTable("category test", field=positions[name], holds=holds)
        case NumberTest(values, is_one):
            return StepTable("number test", holds=bytes([is_one]), values=values)
        case Operation() if step in _OPERATIONS:
            return StepTable(step)
        case _:
            msg = f"the compiled engine does not know the operation {step}"
            raise ValueError(msg)


def compile_policy(decider: Decider, contract: Contract, codes: Sequence[str]) -> PolicyTable:
    """Returns the policy; `codes` are those of the catalogue of reasons.

    Raises:
        ValueError: the engine does not know an operation of a rule.
    """
    positions = {name: position for position, name in enumerate(contract.fields)}
    policy, segments = decider.policy, decider.segments
    thresholds = [(policy.maybe_above, policy.declined_above)]
    field_and_codes = None
    if segments is not None:
        by_code = list(zip(segments.maybe_above.tolist(), segments.declined_above.tolist(), strict=True))
        thresholds = list(dict.fromkeys([*thresholds, *by_code]))
        field_and_codes = positions[segments.field], [thresholds.index(pair) for pair in by_code]
    rules = [
        (_compile_program(condition.program, positions), LABELS.index(rule.label), reason)
        for rule, condition, reason in zip(policy.rules, decider.conditions, find_reasons(policy, codes), strict=True)
    ]
    return PolicyTable(thresholds, field_and_codes, rules)


def compile_decisions(encoder: DecisionEncoder) -> DecisionTable:
    """Returns the texts of decisions."""
    outcomes = [encoder.outcomes[label] for label in LABELS]
    return DecisionTable(encoder.to_id, outcomes, encoder.end)


def compile_reasons(explainer: Explainer) -> ReasonsTable:
    """Returns the codes and the tables of contributions, which the explainer must have."""
    tables = explainer.tables
    assert tables is not None, "checked before"
    return ReasonsTable(
        [f'"{code}"'.encode() for code in explainer.codes],
        explainer.is_used.tolist(),
        tables.condition_counts.tolist(),
        tables.columns.tobytes(),
        tables.thresholds.tobytes(),
        tables.is_less.tobytes(),
        tables.target_counts.tolist(),
        tables.targets.tobytes(),
        tables.values.tobytes(),
    )
