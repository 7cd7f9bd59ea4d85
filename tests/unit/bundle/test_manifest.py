"""The manifest: one canonical form, one digest, and a limit on everything."""

import hashlib
import json
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from scorer.bundle.manifest import Features, Manifest, parse_manifest
from scorer.errors import BundleError
from tests.unit.bundle.making import PLAIN

RAW = (PLAIN / "bundle.json").read_bytes()


def _changed(**fields: object) -> bytes:
    return json.dumps({**json.loads(RAW), **fields}).encode()


def _leaves(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    if isinstance(value, dict | list) and value:
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _leaves(inner, (*path, key))
    else:
        yield path


def _other(value: Any) -> Any:
    """A value of the same kind that is not the same."""
    if isinstance(value, str):
        return value[:-1] + ("1" if value[-1:] == "0" else "0")
    if isinstance(value, int | float):
        return value / 2 + 0.01 if isinstance(value, float) else value + 1
    return ["age"]


def test_the_canonical_form_is_sorted_compact_json() -> None:
    """Anybody can compute a bundle's digest from its manifest with a JSON library and sha256."""
    manifest = parse_manifest(RAW)
    expected = json.dumps(json.loads(RAW), sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    assert manifest.canonical == expected
    assert manifest.digest == hashlib.sha256(expected).hexdigest()
    assert manifest.reference.model_dump() == {"name": "credit-risk", "version": "1.1.0", "digest": manifest.digest}


def test_the_digest_does_not_depend_on_how_the_file_is_written() -> None:
    """Order of keys, white space, escapes and the name of UTC change nothing."""
    content = json.loads(RAW)
    content["created"] = content["created"].replace("Z", "+00:00")
    rewritten = json.dumps(dict(reversed(content.items())), indent=7, ensure_ascii=True).encode()
    assert parse_manifest(rewritten) == parse_manifest(RAW)
    assert parse_manifest(rewritten).digest == parse_manifest(RAW).digest


def test_the_digest_depends_on_every_value() -> None:
    """Each of the manifest's values, changed alone, is either refused or gives another digest."""
    digests = {parse_manifest(RAW).digest}
    content = json.loads(RAW)
    paths = list(_leaves(content))
    refused = 0
    for path in paths:
        changed = json.loads(RAW)
        section = changed
        for key in path[:-1]:
            section = section[key]
        section[path[-1]] = _other(section[path[-1]])
        try:
            digests.add(parse_manifest(json.dumps(changed).encode()).digest)
        except BundleError:
            refused += 1
    assert len(digests) - 1 + refused == len(paths)
    assert len(digests) > 80


def test_an_unknown_manifest_version_says_so() -> None:
    """A bundle of a later release is refused by its version, not by some field that it lacks."""
    with pytest.raises(
        BundleError, match=r"manifest_version 4, but this release supports 1, 2 and 3: .* another release"
    ):
        parse_manifest(b'{"manifest_version": 4, "strange": true}')


def test_the_second_version_has_settings_for_the_runner() -> None:
    """They are digested; a manifest of the first version has none and keeps its digest."""
    settings = {"output": "probabilities", "column": 1, "scale": 0.5, "strict": True}
    first = parse_manifest(RAW)
    second = parse_manifest(_changed(manifest_version=2, runner_settings=settings))
    other = parse_manifest(_changed(manifest_version=2, runner_settings={**settings, "column": 0}))
    assert (first.runner_settings, second.runner_settings) == ({}, settings)
    assert len({first.digest, second.digest, other.digest}) == 3
    assert "runner_settings" not in first.model_dump()
    assert parse_manifest(second.model_dump_json().encode()) == second


@pytest.mark.parametrize(
    "change",
    [
        {"runner_settings": {}},
        {"manifest_version": 2},
        {"manifest_version": 2, "runner_settings": None},
        {"manifest_version": 2, "runner_settings": {"column": None}},
        {"manifest_version": 2, "runner_settings": {"columns": [1]}},
        {"manifest_version": 2, "runner_settings": {str(n): n for n in range(65)}},
    ],
)
def test_a_version_has_its_own_fields(change: dict[str, object]) -> None:
    """Settings without their version, a version without its settings, and what is no setting are refused."""
    with pytest.raises(BundleError, match="runner_settings"):
        parse_manifest(_changed(**change))


@pytest.mark.parametrize("field", ["metrics", "training"])
def test_unknown_figures_are_null(field: str) -> None:
    """A model that was trained elsewhere has no recipe, one that nobody measured no figures."""
    manifest = parse_manifest(_changed(**{field: None}))
    assert getattr(manifest, field) is None
    assert manifest.digest != parse_manifest(RAW).digest


@pytest.mark.parametrize("raw", [b"", b"[]", b"null", b"{}", b"\xff", b"{" * 100_000, b'{"manifest_version": "1"}'])
def test_an_invalid_manifest_is_rejected(raw: bytes) -> None:
    """Any bytes are either a manifest or a BundleError."""
    with pytest.raises(BundleError, match=r"bundle\.json is not a valid manifest"):
        parse_manifest(raw)


@pytest.mark.parametrize(
    "name",
    [
        "../model.ubj",
        "/etc/passwd",
        "a/b",
        "..",
        ".",
        ".hidden",
        "",
        "a\\b",
        "C:model",
        "model.ubj\n",
        "a" * 101,
        "mödel",
    ],
)
def test_no_file_name_leads_out_of_the_bundle(name: str) -> None:
    """A manifest can only name plain files beside it."""
    files = {**json.loads(RAW)["files"], name: "0" * 64}
    with pytest.raises(BundleError, match="files"):
        parse_manifest(_changed(files=files))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", "Credit"), ("name", "a/b"), ("name", "-a"), ("name", ""), ("name", "a" * 65), ("name", "a\n"),
        ("version", "1.0"), ("version", "1.0.0-rc.1"), ("version", "01.0.0"), ("version", "v1.0.0"),
        ("version", "1.0.0\n"), ("version", "1.0.٣"), ("created", "2026-01-31T10:00:00+02:00"),
        ("created", "2026-01-31T10:00:00"), ("created", "yesterday"), ("strange", 1), ("runner", ""),
        ("files", None), ("labels", {"a": 1}), ("labels", {str(n): "" for n in range(65)}),
        ("files", {}), ("files", {f"f{n}": "0" * 64 for n in range(17)}), ("platform", None),
        ("features", {"columns": [], "missing": 0}), ("features", {"columns": ["age"]}),
        ("features", {"columns": ["age"] * 10_001, "missing": 0}),
        ("policy", {"maybe_above": 0.6, "declined_above": 0.5}),
    ],
)  # fmt: skip
def test_each_limit_is_kept(field: str, value: object) -> None:
    """What is outside a limit is refused, and the message names the field."""
    with pytest.raises(BundleError, match=field):
        parse_manifest(_changed(**{field: value}))


@pytest.mark.parametrize("field", list(json.loads(RAW)))
def test_every_field_is_needed(field: str) -> None:
    """No field has a default, so that a digest does not move with this code."""
    content = json.loads(RAW)
    del content[field]
    with pytest.raises(BundleError, match=field):
        parse_manifest(json.dumps(content).encode())


@pytest.mark.parametrize("name", ["bundle.json", "golden.jsonl"])
def test_the_manifest_names_the_golden_examples_and_not_itself(name: str) -> None:
    """A file that must be digested is named; the manifest, which cannot hold its own digest, is not."""
    files = json.loads(RAW)["files"]
    files = {**files, name: "0" * 64} if name == "bundle.json" else {n: d for n, d in files.items() if n != name}
    with pytest.raises(BundleError, match=name.replace(".", r"\.")):
        parse_manifest(_changed(files=files))


def test_the_model_is_among_the_files() -> None:
    """A model without a digest would not be checked."""
    with pytest.raises(BundleError, match=r"files must name other\.ubj"):
        parse_manifest(_changed(model="other.ubj"))


def test_a_second_reviewer_needs_version_3() -> None:
    """Earlier manifests do not have the key, and those without it keep their digest."""
    content = json.loads(RAW)
    with pytest.raises(BundleError, match=r"policy\.second_review_when are not allowed in manifests before version 3"):
        parse_manifest(_changed(policy=content["policy"] | {"second_review_when": "amount > 1"}))
    assert b"second_review" not in parse_manifest(RAW).canonical


def test_figures_that_are_no_numbers_are_rejected() -> None:
    """NaN has no place in a manifest: it has no canonical form."""
    with pytest.raises(BundleError):
        parse_manifest(RAW.replace(b'"brier": 0.', b'"brier": NaN, "x": 0.'))


def test_every_decision_is_counted() -> None:
    """Figures without one of the three decisions would read as if it never came up."""
    content = json.loads(RAW)
    del content["metrics"]["decisions"]["by_decision"]["MAYBE"]
    with pytest.raises(BundleError, match="APPROVED, MAYBE, DECLINED"):
        parse_manifest(json.dumps(content).encode())


def test_a_message_stays_short_and_shows_no_content() -> None:
    """However much is wrong, five faults are named, none with what stood there."""
    with pytest.raises(BundleError) as raised:
        parse_manifest(json.dumps({"manifest_version": 1} | {f"secret-{n}": "s3cret" for n in range(100)}).encode())
    assert "more" in str(raised.value)
    assert "s3cret" not in str(raised.value)
    assert len(str(raised.value)) < 500


@pytest.mark.parametrize(("missing", "number"), [(None, np.nan), (0.0, 0.0), (-1.5, -1.5)])
def test_null_stands_for_nan(missing: float | None, number: float) -> None:
    """JSON has no NaN, and a model that knows about missing numbers wants one."""
    features = Features(columns=("age", "home=rent", "home=owner"), missing=missing)
    assert np.array_equal(features.missing_number, number, equal_nan=True)
    assert features.fields == ("age", "home")


def test_a_manifest_cannot_be_changed() -> None:
    """What was digested stays what it was."""
    manifest = parse_manifest(RAW)
    with pytest.raises(ValueError, match="frozen"):
        manifest.version = "9.9.9"  # type: ignore[misc]
    assert isinstance(manifest, Manifest)


@pytest.mark.parametrize("control", ["\x1b[2J", "\n", "\x7f", "\x9b", "\u202e", "\u2028"])
@pytest.mark.parametrize(
    ("change", "field"),
    [
        (lambda manifest, text: manifest["labels"].update(source=text), "labels.source"),
        (lambda manifest, text: manifest["labels"].update({text: "x"}), "labels"),
        (lambda manifest, text: manifest["libraries"].update(xgboost=text), "libraries.xgboost"),
        (lambda manifest, text: manifest.update(runner=text), "runner"),
        (lambda manifest, text: manifest["metrics"]["holdout"].update(what=text), "metrics.holdout.what"),
        (lambda manifest, text: manifest["training"]["parameters"].update(objective=text), "training.parameters"),
        (
            lambda manifest, text: manifest.update(manifest_version=2, runner_settings={"output": text}),
            "runner_settings.output",
        ),
    ],
)
def test_no_text_holds_a_control_character(
    change: Callable[[dict[str, Any], str], object], field: str, control: str
) -> None:
    """Commands and pages show these texts: an author's escape sequence would paint another digest over the real one."""
    manifest = json.loads((PLAIN / "bundle.json").read_bytes())
    change(manifest, f"a{control}b")
    with pytest.raises(BundleError) as refused:
        parse_manifest(json.dumps(manifest).encode())
    assert field in str(refused.value)
    assert "contains a control character or a line break" in str(refused.value)
    assert str(refused.value).isprintable()


def test_a_fault_names_its_field_in_some_words() -> None:
    """A name of a megabyte is the author's text, too."""
    with pytest.raises(BundleError) as refused:
        parse_manifest(json.dumps({"manifest_version": 1, "x" * 1_000_000: 1}).encode())
    assert len(str(refused.value)) < 1_000
