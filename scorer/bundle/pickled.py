"""Pickles read as data: what one says of a few named classes, without importing or calling anything.

`pickle.Unpickler` with its `find_class` narrowed still runs the whole machine: calls, attributes set, memory taken as
the pickle says. The machine here knows a handful of the opcodes that `pickletools` reads, and none of them calls
anything: a class is its name, an object is its class with its state, and whatever else a pickle asks for is refused.
"""

import pickletools
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, TypeVar

from schemas.printable import printable
from scorer.errors import BundleError

PICKLE_BYTES_MAX: Final = 1 << 20  # a thousand times what the course's vectorizer takes
_OPCODES_MAX: Final = 100_000
_TEXT_CHARACTERS_MAX: Final = 300

_MARK: Final = object()

_Kind = TypeVar("_Kind")


class ClassName(NamedTuple):
    """A class, by name only."""

    module: str
    name: str

    def __str__(self) -> str:
        """Its dotted name, safe to print."""
        return printable(f"{self.module}.{self.name}", _TEXT_CHARACTERS_MAX)


@dataclass(slots=True)
class Pickled:
    """An object of a class that was named, with the state that the pickle gives it."""

    of: ClassName
    state: dict[str, object] = field(default_factory=dict)


def read_pickle(raw: bytes, classes: Collection[ClassName]) -> object:
    """Reads a pickle of protocol 2 to 5 that holds plain data and objects of the named classes.

    Plain are None, booleans, numbers of 32 bits, texts, lists, tuples, and dictionaries whose keys are texts.

    Args:
        raw: the pickle.
        classes: those that it may name.

    Returns:
        What it holds, each object as `Pickled`, each class as `ClassName`.

    Raises:
        BundleError: it names or asks for anything else, is too long, or is no pickle. Nothing of it has run.
    """
    if len(raw) > PICKLE_BYTES_MAX:
        raise BundleError(f"the pickle has {len(raw)} bytes, and {PICKLE_BYTES_MAX} are read at most")
    machine = _Machine(classes)
    try:
        for count, (opcode, argument, _) in enumerate(pickletools.genops(raw)):
            if count == _OPCODES_MAX:
                raise BundleError(f"the pickle has more than {_OPCODES_MAX} instructions")
            step = _STEPS.get(opcode.name)
            if step is None:
                raise BundleError(f"the pickle asks for {opcode.name}, which plain data has no need of")
            step(machine, argument)
        (found,) = machine.stack
    except (ValueError, LookupError, TypeError):
        raise BundleError("the pickle is damaged, or none: it cannot be followed to its end") from None
    return found


class _Machine:
    """The pickle machine's stack and memo; a step that does not fit what is there is a TypeError or LookupError."""

    def __init__(self, classes: Collection[ClassName]) -> None:
        self._classes = classes
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}

    def push(self, value: object) -> None:
        self.stack.append(value)

    def pop_to_mark(self) -> list[Any]:
        """Everything above the last mark, which goes too."""
        found = []
        while (value := self.stack.pop()) is not _MARK:
            found.append(value)
        return found[::-1]

    def memoize(self, place: int | None) -> None:
        self.memo[len(self.memo) if place is None else place] = self.stack[-1]

    def recall(self, place: int) -> None:
        self.push(self.memo[place])

    def push_class(self, module: object, name: object) -> None:
        """Pushes a class by name, if it is one of those that may be named."""
        named = ClassName(_require(str, module), _require(str, name))
        if named not in self._classes:
            raise BundleError(f"the pickle names {named}, and whoever unpickles that runs what it carries")
        self.push(named)

    def push_object(self) -> None:
        """Takes a class and no arguments from the stack, and pushes an object of it."""
        arguments, of = self.stack.pop(), self.stack.pop()
        if arguments != ():
            msg = "an object is made without arguments"
            raise TypeError(msg)
        self.push(Pickled(_require(ClassName, of)))

    def build(self) -> None:
        """Gives the object on top of the stack its state."""
        state = _require(dict, self.stack.pop())
        _require(Pickled, self.stack[-1]).state.update(state)

    def extend(self, values: list[Any]) -> None:
        _require(list, self.stack[-1]).extend(values)

    def update(self, keys_and_values: list[Any]) -> None:
        keys, values = keys_and_values[::2], keys_and_values[1::2]
        target = _require(dict, self.stack[-1])
        target.update(zip((_require(str, key) for key in keys), values, strict=True))

    def push_tuple(self, length: int) -> None:
        self.push(tuple(self.stack.pop() for _ in range(length))[::-1])


def _require(kind: type[_Kind], value: object) -> _Kind:
    if type(value) is not kind:
        msg = f"not a {kind.__name__}"
        raise TypeError(msg)
    return value


_STEPS: Final[Mapping[str, Callable[[_Machine, Any], None]]] = {
    **dict.fromkeys(("PROTO", "FRAME", "STOP"), lambda _machine, _: None),
    **dict.fromkeys(("SHORT_BINUNICODE", "BINUNICODE", "BININT", "BININT1", "BININT2", "BINFLOAT"), _Machine.push),
    "NONE": lambda machine, _: machine.push(None),
    "NEWTRUE": lambda machine, _: machine.push(True),
    "NEWFALSE": lambda machine, _: machine.push(False),
    "EMPTY_DICT": lambda machine, _: machine.push({}),
    "EMPTY_LIST": lambda machine, _: machine.push([]),
    "EMPTY_TUPLE": lambda machine, _: machine.push(()),
    "TUPLE1": lambda machine, _: machine.push_tuple(1),
    "TUPLE2": lambda machine, _: machine.push_tuple(2),
    "TUPLE3": lambda machine, _: machine.push_tuple(3),
    "TUPLE": lambda machine, _: machine.push(tuple(machine.pop_to_mark())),
    "MARK": lambda machine, _: machine.push(_MARK),
    **dict.fromkeys(("MEMOIZE", "BINPUT", "LONG_BINPUT"), _Machine.memoize),
    **dict.fromkeys(("BINGET", "LONG_BINGET"), _Machine.recall),
    "APPEND": lambda machine, _: machine.extend([machine.stack.pop()]),
    "APPENDS": lambda machine, _: machine.extend(machine.pop_to_mark()),
    "SETITEM": lambda machine, _: machine.update([machine.stack.pop(-2), machine.stack.pop()]),
    "SETITEMS": lambda machine, _: machine.update(machine.pop_to_mark()),
    "GLOBAL": lambda machine, names: machine.push_class(*names.split(" ", 1)),
    "STACK_GLOBAL": lambda machine, _: machine.push_class(machine.stack.pop(-2), machine.stack.pop()),
    "NEWOBJ": lambda machine, _: machine.push_object(),
    "BUILD": lambda machine, _: machine.build(),
}
"""What each opcode does; one that is missing here is refused."""
