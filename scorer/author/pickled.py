"""Reads pickles as data: plain values and the state of objects of a few named classes, without running any code.

`pickle.Unpickler` with a restricted `find_class` still runs the whole pickle machine: it calls, sets attributes and
allocates memory as the pickle demands. The machine here supports only some of the opcodes that `pickletools` reads, and
none of them calls anything: a class is represented by its name, an object by its class and its state. Every other
opcode is an error.
"""

import pickletools
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from schemas.printable import printable
from scorer.errors import BundleError

PICKLE_BYTES_MAX: Final = 1 << 20  # a thousand times the size of the course's vectorizer
_OPCODES_MAX: Final = 100_000
_TEXT_CHARACTERS_MAX: Final = 300

_MARK: Final = object()


class ClassName(NamedTuple):
    """A class, by name only."""

    module: str
    name: str

    def __str__(self) -> str:
        """Returns the dotted name, safe to print."""
        return printable(f"{self.module}.{self.name}", _TEXT_CHARACTERS_MAX)


@dataclass(slots=True)
class Pickled:
    """An object of a named class, with its state in the pickle."""

    of: ClassName
    state: dict[str, object] = field(default_factory=dict)


def read_pickle(raw: bytes, classes: Collection[ClassName]) -> object:
    """Reads a pickle of protocol 2 to 5 that contains plain data and objects of the named classes.

    Plain data is None, booleans, 32-bit numbers, strings, lists, tuples, and dictionaries with string keys.

    Args:
        raw: the pickle.
        classes: the classes that are allowed.

    Returns:
        The content, each object as `Pickled`, each class as `ClassName`.

    Raises:
        BundleError: it contains another class or opcode, is too long, or is not a pickle. No code in it was run.
    """
    if len(raw) > PICKLE_BYTES_MAX:
        raise BundleError(f"the pickle has {len(raw)} bytes, more than the maximum of {PICKLE_BYTES_MAX}")
    machine = _Machine(classes)
    try:
        for count, (opcode, argument, _) in enumerate(pickletools.genops(raw)):
            if count == _OPCODES_MAX:
                raise BundleError(f"the pickle has more than {_OPCODES_MAX} instructions")
            step = _STEPS.get(opcode.name)
            if step is None:
                raise BundleError(f"the pickle has the opcode {opcode.name}, which plain data does not need")
            step(machine, argument)
        (content,) = machine.stack
    except (ValueError, LookupError, TypeError, AttributeError):
        raise BundleError("the pickle is damaged, or the file is not a pickle") from None
    return content


class _Machine:
    """The pickle machine's stack and memo; a step that they do not match raises one of the errors caught above."""

    def __init__(self, classes: Collection[ClassName]) -> None:
        self._classes = classes
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}

    def push(self, value: object) -> None:
        self.stack.append(value)

    def pop(self, count: int) -> list[Any]:
        """Removes the last values, and returns them in the order in which they were pushed."""
        return [self.stack.pop() for _ in range(count)][::-1]

    def pop_to_mark(self) -> list[Any]:
        """Removes the last mark and everything above it, and returns the latter."""
        return list(iter(self.stack.pop, _MARK))[::-1]

    def memoize(self, index: int | None) -> None:
        self.memo[len(self.memo) if index is None else index] = self.stack[-1]

    def push_class(self, module: object, name: object) -> None:
        """Pushes a class by name, if it is allowed."""
        class_name = ClassName(*_texts([module, name]))
        if class_name not in self._classes:
            raise BundleError(f"the pickle names {class_name}, which is not allowed: unpickling it could run any code")
        self.push(class_name)

    def push_object(self, class_name: object, arguments: object) -> None:
        """Pushes an object of a class, created without arguments."""
        if type(class_name) is not ClassName or arguments != ():
            raise TypeError("not a class without arguments")
        self.push(Pickled(class_name))

    # As functions of the class, `list.extend`, `dict.update` and `dict.items` accept only a list or a dictionary.

    def build(self) -> None:
        """Pops a state and adds it to the object on top of the stack."""
        state = dict.items(self.stack.pop())
        self.stack[-1].state.update(state)

    def extend(self, values: list[Any]) -> None:
        list.extend(self.stack[-1], values)

    def update(self, keys_and_values: list[Any]) -> None:
        dict.update(self.stack[-1], zip(_texts(keys_and_values[::2]), keys_and_values[1::2], strict=True))


def _texts(values: list[Any]) -> list[str]:
    if any(type(value) is not str for value in values):
        raise TypeError("not a text")
    return values


_STEPS: Final[Mapping[str, Callable[[_Machine, Any], None]]] = {
    **dict.fromkeys(("PROTO", "FRAME", "STOP"), lambda _machine, _: None),
    **dict.fromkeys(("SHORT_BINUNICODE", "BINUNICODE", "BININT", "BININT1", "BININT2", "BINFLOAT"), _Machine.push),
    "NONE": lambda machine, _: machine.push(None),
    "NEWTRUE": lambda machine, _: machine.push(True),
    "NEWFALSE": lambda machine, _: machine.push(False),
    "EMPTY_DICT": lambda machine, _: machine.push({}),
    "EMPTY_LIST": lambda machine, _: machine.push([]),
    "EMPTY_TUPLE": lambda machine, _: machine.push(()),
    "TUPLE1": lambda machine, _: machine.push(tuple(machine.pop(1))),
    "TUPLE2": lambda machine, _: machine.push(tuple(machine.pop(2))),
    "TUPLE3": lambda machine, _: machine.push(tuple(machine.pop(3))),
    "TUPLE": lambda machine, _: machine.push(tuple(machine.pop_to_mark())),
    "MARK": lambda machine, _: machine.push(_MARK),
    **dict.fromkeys(("MEMOIZE", "BINPUT", "LONG_BINPUT"), _Machine.memoize),
    **dict.fromkeys(("BINGET", "LONG_BINGET"), lambda machine, index: machine.push(machine.memo[index])),
    "APPEND": lambda machine, _: machine.extend(machine.pop(1)),
    "APPENDS": lambda machine, _: machine.extend(machine.pop_to_mark()),
    "SETITEM": lambda machine, _: machine.update(machine.pop(2)),
    "SETITEMS": lambda machine, _: machine.update(machine.pop_to_mark()),
    "GLOBAL": lambda machine, names: machine.push_class(*names.split(" ", 1)),
    "STACK_GLOBAL": lambda machine, _: machine.push_class(*machine.pop(2)),
    "NEWOBJ": lambda machine, _: machine.push_object(*machine.pop(2)),
    "BUILD": lambda machine, _: machine.build(),
}
"""The supported opcodes; every other opcode is an error."""
