"""Reading a pickle as data: what is plain comes out as `pickle` has it, and nothing that it carries is ever run."""

import io
import os
import pickle
import pickletools
import struct
import sys
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from scorer.author import pickled
from scorer.author.pickled import ClassName, Pickled, read_pickle
from scorer.errors import BundleError
from tests.unit.bundle.making import make_vectorizer

VECTORIZER = ClassName("sklearn.feature_extraction._dict_vectorizer", "DictVectorizer")
CLASSES = (VECTORIZER, ClassName("numpy", "float64"))

PLAIN: dict[str, object] = {
    "none": None,
    "flags": [True, False],
    "numbers": [0, 255, 256, 65_535, 65_536, -1, 2**31 - 1, 0.25, float("inf")],
    "texts": ["", "é", "x" * 300],
    "tuples": [(), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4)],
    "nested": {"a": {"b": [{}]}},
}


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("dump", [pickle.dumps, pickle._dumps], ids=["in C", "in Python"])  # type: ignore[attr-defined]
def test_plain_values_come_out_as_pickle_has_them(dump: Callable[[object, int], bytes], protocol: int) -> None:
    """Every value that the reader knows, shared ones included, by both writers and every protocol."""
    shared = ["twice"]
    value = {**PLAIN, "one": shared, "other": shared}
    assert read_pickle(dump(value, protocol), ()) == value


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_a_vectorizer_is_read_as_its_state(protocol: int) -> None:
    """What scikit-learn writes of a DictVectorizer is there to be read, and is no DictVectorizer."""
    vectorizer = make_vectorizer(["age", "home=owner", "home=rent"])
    content = read_pickle(pickle.dumps({"dv": vectorizer}, protocol), CLASSES)
    assert isinstance(content, dict)
    (read,) = content.values()
    assert type(read) is Pickled
    assert read.of == VECTORIZER
    assert read.state["feature_names_"] == vectorizer.feature_names_
    assert read.state["vocabulary_"] == vectorizer.vocabulary_
    assert read.state["dtype"] == ClassName("numpy", "float64")


class _Calls:
    """An object whose pickle calls something."""

    def __init__(self, function: Callable[..., object], *arguments: object) -> None:
        self._call = function, arguments

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return self._call


class _HasState:
    """An object whose pickle calls something in the state of another one."""

    def __init__(self, state: object) -> None:
        self._state = state

    def __reduce__(self) -> tuple[object, ...]:
        return SimpleNamespace, (), {"x": self._state}


def _text(value: str) -> bytes:
    return b"\x8c" + struct.pack("<B", len(value)) + value.encode()


def _by_stack(module: str, name: str) -> bytes:
    return _text(module) + _text(name) + b"\x93"


def _dump_mkdir(protocol: int, path: str) -> bytes:
    return pickle.dumps(_Calls(os.mkdir, path), protocol)


# Each takes a path, and makes a folder of it if it is unpickled. By every way that a pickle has to call something.
ATTACKS: dict[str, Callable[[str], bytes]] = {
    **{f"os.mkdir, protocol {protocol}": partial(_dump_mkdir, protocol) for protocol in range(6)},
    "os.system": lambda path: pickle.dumps(_Calls(os.system, f"mkdir '{path}'")),
    "eval": lambda path: pickle.dumps(_Calls(eval, f"__import__('os').mkdir({path!r})")),
    "exec": lambda path: pickle.dumps(_Calls(exec, f"import os; os.mkdir({path!r})")),
    "nested in a list in a dictionary": lambda path: pickle.dumps({"dv": [1, {"x": _Calls(os.mkdir, path)}]}),
    "in an OrderedDict": lambda path: pickle.dumps({"dv": OrderedDict([(1, _Calls(os.mkdir, path))])}),
    "in an argument of another call": lambda path: pickle.dumps(_Calls(dict, [("a", _Calls(os.mkdir, path))])),
    "in a state": lambda path: pickle.dumps(_HasState(_Calls(os.mkdir, path))),
    "in a vectorizer's state": lambda path: pickle.dumps({"dv": _spoilt_vectorizer(path)}),
    "INST": lambda path: b"(S" + repr(path).encode() + b"\nios\nmkdir\n.",
    "OBJ": lambda path: b"(cos\nmkdir\nS" + repr(path).encode() + b"\no.",
    "GLOBAL and REDUCE": lambda path: b"cos\nmkdir\n(S" + repr(path).encode() + b"\ntR.",
    "STACK_GLOBAL and REDUCE": lambda path: b"\x80\x04" + _by_stack("os", "mkdir") + _text(path) + b"\x85R.",
    "builtins.getattr": lambda path: (
        b"cbuiltins\ngetattr\n(cbuiltins\n__import__\n(S'os'\ntRS'mkdir'\ntR(S" + repr(path).encode() + b"\ntR."
    ),
    "a dotted name": lambda path: b"\x80\x04" + _by_stack("shutil", "os.mkdir") + _text(path) + b"\x85R.",
    "after what is plain": lambda path: (
        b"\x80\x04}\x94\x8c\x01a" + _by_stack("os", "mkdir") + _text(path) + b"\x85Rs."
    ),
}  # fmt: skip


def _spoilt_vectorizer(path: str) -> object:
    vectorizer = make_vectorizer(["age"])
    vectorizer.__dict__["feature_names_"] = _Calls(os.mkdir, path)
    return vectorizer


@pytest.mark.parametrize("attack", ATTACKS)
def test_what_a_pickle_would_run_is_not_run(tmp_path: Path, attack: str) -> None:
    """Refused, with no trace of it: the same bytes make a folder once Python's own reader has them."""
    mark = tmp_path / "run"
    raw = ATTACKS[attack](str(mark))
    modules = set(sys.modules)
    with pytest.raises(BundleError, match=r"the pickle (names|has the opcode)"):
        read_pickle(raw, CLASSES)
    assert not mark.exists()
    assert set(sys.modules) == modules
    pickle.loads(raw)  # noqa: S301  (that it would have run is the point)
    assert mark.exists()


def test_rejected_classes_are_named() -> None:
    """Whoever saved it can find what to leave out; a name that would move the cursor is made harmless."""
    with pytest.raises(BundleError, match=r"names (posix|nt)\.system"):
        read_pickle(pickle.dumps(_Calls(os.system, "true")), CLASSES)
    with pytest.raises(BundleError) as refused:
        read_pickle(b"\x80\x04" + _by_stack("a\x1b[2J", "b\n") + b".", CLASSES)
    assert "a�[2J.b�" in str(refused.value)


def _persistent() -> bytes:
    class Pickler(pickle.Pickler):
        def persistent_id(self, obj: Any) -> object:
            return "x" if obj == 4711 else None

    written = io.BytesIO()
    Pickler(written, 4).dump([4711])
    return written.getvalue()


REFUSED: dict[str, tuple[bytes, str]] = {
    "a persistent id": (_persistent(), "BINPERSID"),
    "a persistent id, in text": (b"Px\n.", "PERSID"),
    "the extension registry, one byte": (b"\x80\x02\x82\x01.", "EXT1"),
    "the extension registry, two bytes": (b"\x80\x02\x83\x01\x00.", "EXT2"),
    "the extension registry, four bytes": (b"\x80\x02\x84\x01\x00\x00\x00.", "EXT4"),
    "a call of a class that may be named": (
        b"\x80\x04" + _by_stack(*VECTORIZER) + b")R.",
        "REDUCE",
    ),
    "an object with keywords": (b"\x80\x04" + _by_stack(*VECTORIZER) + b")}\x92.", "NEWOBJ_EX"),
    "a buffer from outside": (b"\x80\x05\x97.", "NEXT_BUFFER"),
    "a set": (pickle.dumps({1}), "EMPTY_SET"),
    "bytes": (pickle.dumps(b"x"), "SHORT_BINBYTES"),
    "a number beyond 32 bits": (pickle.dumps(2**70), "LONG1"),
    "protocol 0": (pickle.dumps({"a": 1}, 0), "DICT"),
    "an object made with arguments": (b"\x80\x04" + _by_stack(*VECTORIZER) + b"K\x01\x85\x81.", "damaged"),
    "a state for a class": (b"\x80\x04" + _by_stack(*VECTORIZER) + b"}b.", "damaged"),
    "a state for a list": (b"\x80\x04]}b.", "damaged"),
    "a state that is no dictionary": (b"\x80\x04" + _by_stack(*VECTORIZER) + b")\x81]b.", "damaged"),
    "an object of a text": (b"\x80\x04\x8c\x01a)\x81.", "damaged"),
    "a class named by numbers": (b"\x80\x04K\x01K\x01\x93.", "damaged"),
    "a key that is no text": (b"\x80\x04}K\x01K\x01s.", "damaged"),
    "a key without a value": (b"\x80\x04}(\x8c\x01au.", "damaged"),
    "an item for no list": (b"\x80\x04}K\x01a.", "damaged"),
    "nothing on the stack": (b"\x80\x04.", "damaged"),
    "two things on the stack": (b"\x80\x04}}.", "damaged"),
    "no mark": (b"\x80\x04}u.", "damaged"),
    "something never remembered": (b"\x80\x04h\x07.", "damaged"),
    "no bytes": (b"", "damaged"),
    "not a pickle": (b"PK\x03\x04 and so on", "damaged|asks for"),
    "text": (b"hello", "damaged|asks for"),
    "a length that is not there": (b"\x80\x04\x8d\xff\xff\xff\xff\xff\xff\xff\x7fx.", "damaged"),
    "text that is not UTF-8": (b"\x80\x04\x8c\x01\xff.", "damaged"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_any_other_class_in_a_pickle_is_rejected(name: str) -> None:
    """With the name of the instruction, or as damaged; never another exception."""
    raw, reason = REFUSED[name]
    with pytest.raises(BundleError, match=reason):
        read_pickle(raw, CLASSES)


def test_every_instruction_is_known_or_rejected() -> None:
    """No opcode of any protocol gets anywhere by itself but by the table; those that call are not in it."""
    calling = {"REDUCE", "INST", "OBJ", "NEWOBJ_EX", "PERSID", "BINPERSID", "EXT1", "EXT2", "EXT4", "NEXT_BUFFER"}
    names = {opcode.name for opcode in pickletools.opcodes}
    assert calling <= names
    assert set(pickled._STEPS) <= names - calling


def test_every_cut_of_a_valid_pickle_is_rejected() -> None:
    """A truncated file is never taken for a shorter one."""
    whole = pickle.dumps({"dv": make_vectorizer(["age", "home=rent"])})
    for length in range(len(whole)):
        with pytest.raises(BundleError):
            read_pickle(whole[:length], CLASSES)
    read_pickle(whole, CLASSES)


@pytest.mark.parametrize("flip", [0x01, 0x20, 0xFF])
def test_a_damaged_pickle_is_rejected_or_still_plain(flip: int) -> None:
    """A byte that is another one, at every place: never another exception, never a class that may not be named."""
    whole = bytearray(pickle.dumps({"dv": make_vectorizer(["age", "home=rent"])}))
    for index in range(len(whole)):
        whole[index] ^= flip
        with suppress(BundleError):
            content = read_pickle(bytes(whole), CLASSES)
            assert isinstance(content, dict | list | tuple | str | int | float | Pickled | ClassName | None)
        whole[index] ^= flip


def test_a_pickle_has_a_greatest_length(monkeypatch: pytest.MonkeyPatch) -> None:
    """In bytes before anything is read, and in instructions; a memo's place takes no memory by its number."""
    with pytest.raises(BundleError, match="bytes, more than the maximum of 1048576"):
        read_pickle(b"\x80\x04" + b"N0" * (1 << 19) + b"N.", ())
    monkeypatch.setattr(pickled, "_OPCODES_MAX", 10)
    with pytest.raises(BundleError, match="more than 10 instructions"):
        read_pickle(pickle.dumps(list(range(20))), ())
    assert read_pickle(b"\x80\x02]r\xff\xff\xff\xff.", ()) == []


def test_depth_is_no_danger() -> None:
    """Fifty thousand lists within each other are read, and go away again."""
    read_pickle(b"\x80\x04" + b"]" * 40_000 + b"a" * 39_999 + b".", ())
