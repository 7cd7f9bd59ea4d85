"""The targets: each reads what somebody else wrote, as the programs do, and names its own errors."""

import gzip
import io
import json
import lzma
import tarfile
import zipfile
from collections.abc import Mapping
from contextlib import chdir
from importlib.resources import files
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from hypothesis import strategies as st

import producer.errors
import producer.settings
import scorer.settings
from schemas import rejection
from schemas.application import CreditApplication
from schemas.compatibility import compare
from schemas.contract_faults import ContractError
from schemas.contract_parser import parse_contract
from schemas.contract_schema import plain_schema
from schemas.contracts import shipped_contract
from schemas.examples import REVIEW
from schemas.files import read_applications
from schemas.records import DeadLetter, Malformed, Mark, read_dead_letter
from schemas.rejection import RejectionCode
from schemas.review import Review, read_review
from schemas.rows import ApplicationsFileError
from scorer.author.bentoml import read_bentomodel
from scorer.author.data_file import profile_file
from scorer.author.infer import infer_contract
from scorer.bundle.load import read_files, read_manifest
from scorer.bundle.manifest import MANIFEST_FILE, parse_manifest
from scorer.bundle.tree_structure import read_document, require_trees
from scorer.core.score import score_batch
from scorer.errors import BundleError, ScorerError
from scorer.operate.reviews import ReviewFold
from scorer.store.archive import unpacked
from scorer.store.store import SHIPPED
from scorer.stream.history import fold, parse_line
from scorer.stream.history_record import Line
from tests.fakes import RECORD_BYTES_MAX, FakeRecord, application, tiny_bundle
from tests.fuzz.console import REQUESTS, ask
from tests.fuzz.harness import Target
from tests.fuzz.inputs import as_json, damaged, json_values, mutated, text
from tests.unit.bundle.making import PLAIN, bentomodel_files

_REFERENCE: Final = {"name": "credit-risk", "version": "1.1.0", "digest": "0" * 64}
_EVENT: Final = {
    "event_id": "2026-01-31T09:30:00Z-7f3a",
    "slot": "champion",
    "action": "deploy",
    "bundle": _REFERENCE,
    "previous": {**_REFERENCE, "version": "1.0.0"},
    "actor": "ana@lender.example",
    "reason": "quarterly retraining",
    "at": "2026-01-31T09:30:00Z",
}


def _documents(document: object) -> st.SearchStrategy[bytes]:
    """JSON of a damaged document, any JSON, and damaged JSON."""
    return st.one_of(damaged(document).map(as_json), json_values.map(as_json), mutated([as_json(document)]))


# Topics


def _read_history(values: list[bytes | None]) -> None:
    lines: list[Line] = [parse_line(offset, value) for offset, value in enumerate(values)]
    assert all((line.event is None) == bool(line.fault) for line in lines)
    state = fold(lines)
    for slot, event in state.last.items():
        event.model_dump_json()
        for reference in (state.current(slot), state.before(slot)):
            assert reference is None or reference.short


_DLQ_HEADERS: Final = [
    value for name, value in vars(rejection).items() if name.endswith("_HEADER") and isinstance(value, str)
]
_headers: Final = st.lists(
    st.tuples(
        st.one_of(st.sampled_from(_DLQ_HEADERS), text),
        st.one_of(st.none(), st.binary(max_size=20), text.map(lambda it: it.encode("utf-8", "surrogatepass"))),
    ),
    max_size=8,
)
_dead_letters: Final = st.builds(
    FakeRecord,
    at=st.tuples(st.integers(0, 2**31 - 1), st.integers(0, 2**63 - 1)),
    body=st.one_of(st.none(), st.binary(max_size=20)),
    record_key=st.one_of(st.none(), st.binary(max_size=20)),
    record_headers=_headers,
    timestamp_ms=st.integers(-(2**63), 2**63 - 1),
)


def _read_dead_letter(record: FakeRecord) -> None:
    read = read_dead_letter(record)
    assert isinstance(read, DeadLetter | Mark | Malformed)
    if isinstance(read, DeadLetter):
        assert read.id is not None
        assert read.counted_as


def _read_reviews(values: list[bytes | None]) -> None:
    fold = ReviewFold()
    for offset, value in enumerate(values):
        review = read_review(FakeRecord((0, offset), value))
        if isinstance(review, Review):
            counts = fold.add(review, offset)
            assert fold.get(review.application_id, review.decision_id) is not None or not counts


_BUNDLE: Final = tiny_bundle()


def _score(values: list[bytes | None]) -> None:
    records = [FakeRecord((0, offset), value) for offset, value in enumerate(values)]
    outcomes = score_batch(records, _BUNDLE, RECORD_BYTES_MAX).results
    assert len(outcomes) == len(records)
    for value, outcome in zip(values, outcomes, strict=True):
        if isinstance(outcome, bytes):
            CreditApplication.model_validate_json(value or b"")
            json.loads(outcome)
        else:
            assert isinstance(outcome.code, RejectionCode)
            assert outcome.reason.isprintable()


# Files

_CSV: Final = (
    b"application_id,Seniority,Home,Time,Age,Marital,Records,Job,Expenses,Income,Assets,Debt,Amount,Price\n"
    b"a-1,9,1,60,30,2,1,3,73,129,99999999,0,800,846\n"
    b'"a ""2""",17;0,rent,60,58,widow,no,fixed,48,131,0,0,1000,1658\n'
)
_JSON_LINES: Final = application() + b"\n\n" + application("a-2", income=None) + b"\n"
_files: Final = st.one_of(
    st.tuples(
        st.sampled_from([".csv", ".tsv"]), mutated([_CSV, _CSV.replace(b",", b"\t"), _CSV.decode().encode("utf-16")])
    ),
    st.tuples(st.sampled_from([".jsonl", ".json"]), mutated([_JSON_LINES])),
)


def _read_file(file: tuple[str, bytes]) -> None:
    ending, content = file
    with TemporaryDirectory() as scratch:
        path = Path(scratch, f"applications{ending}")
        path.write_bytes(content)
        _score([row.value for row in read_applications(path, shipped_contract())])


def _infer_contract(file: tuple[str, bytes]) -> None:
    ending, content = file
    with TemporaryDirectory() as scratch:
        path = Path(scratch, f"loans{ending}")
        path.write_bytes(content)
        inferred = infer_contract(profile_file(path), path.stem, None, None, [])
    json.dumps(inferred.document, ensure_ascii=False).encode()
    assert all(note.isprintable() for note in inferred.notes)


_any_json_lines: Final = st.tuples(st.just(".jsonl"), st.lists(json_values.map(as_json), max_size=4).map(b"\n".join))
_CONTRACT: Final = json.loads((files("schemas") / "contracts" / "credit-application.schema.json").read_bytes())


def _compare_contracts(documents: tuple[bytes, bytes]) -> None:
    old, new = map(parse_contract, documents)
    plain_schema(new)
    assert all(difference.what.isprintable() for difference in compare(old, new))
    assert not any(difference.breaking for difference in compare(new, new))


# Bundles


def _read_manifest(raw: bytes) -> None:
    manifest = parse_manifest(raw)
    assert parse_manifest(manifest.canonical).digest == manifest.digest
    assert manifest.reference.digest == manifest.digest


def _tar(members: Mapping[str, bytes]) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as tar:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return file.getvalue()


def _zip(members: Mapping[str, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name), content)
    return file.getvalue()


def _gz(content: bytes) -> bytes:
    return gzip.compress(content, 1, mtime=0)


def _xz(content: bytes) -> bytes:
    return lzma.compress(content, preset=0)


_MEMBERS: Final = {"x/bundle.json": b"{}", "x/model.ubj": b"\x00" * 40}
_names: Final = st.one_of(
    text, st.sampled_from(["x/a", "x/A", "../a", "/a", "x/../a", "a/b/c", "x//a", "x/", ".", "C:a"])
)
_members: Final = st.dictionaries(
    _names.filter(lambda name: name and name.isprintable()), st.binary(max_size=20), max_size=5
)
_archives: Final = st.one_of(
    st.tuples(st.just(".tar.gz"), mutated([_tar(_MEMBERS)]).map(_gz)),
    st.tuples(st.just(".tar.xz"), mutated([_tar(_MEMBERS)]).map(_xz)),
    st.tuples(st.just(".tar.gz"), _members.map(_tar).map(_gz)),
    st.tuples(st.just(".tar.gz"), mutated([_gz(_tar(_MEMBERS))])),
    st.tuples(st.just(".tar.xz"), mutated([_xz(_tar(_MEMBERS))])),
    st.tuples(st.just(".zip"), mutated([_zip(_MEMBERS)])),
    st.tuples(st.just(".zip"), _members.map(_zip)),
)


def _unpack(archive: tuple[str, bytes]) -> None:
    ending, content = archive
    with TemporaryDirectory() as scratch:
        path = Path(scratch, f"bundle{ending}")
        path.write_bytes(content)
        with unpacked(str(path)) as folder:
            assert all(file.is_file() and not file.is_symlink() for file in folder.iterdir())
            read_files(folder, read_manifest(folder))


_BENTOML: Final = bentomodel_files()
# What is checked before the model is looked at needs no real one.
_BENTO_MEMBERS: Final = {**_BENTOML, "saved_model.ubj": b"{}"}


def _with(name: str, content: bytes) -> bytes:
    return _tar({**_BENTO_MEMBERS, name: content})


_bentomodels: Final = st.one_of(
    mutated([_BENTOML["model.yaml"]]).map(lambda content: _with("model.yaml", content)),
    mutated([_BENTOML["custom_objects.pkl"]]).map(lambda content: _with("custom_objects.pkl", content)),
    mutated([_tar(_BENTO_MEMBERS)]),
).map(_xz)


def _import_bentomodel(content: bytes) -> None:
    with TemporaryDirectory() as scratch:
        path = Path(scratch, "x.bentomodel")
        path.write_bytes(content)
        read_bentomodel(path)


def _check_model(model: bytes) -> None:
    require_trees(read_document(model))


# Settings

_TOML: Final = b"""bootstrap_servers = "kafka-1:9093"
group_id = "scorer"
batch_records_max = 500
linger_ms = 5
store = "s3://bundles/here"

[kafka]
security.protocol = "SASL_SSL"
sasl.mechanism = "SCRAM-SHA-512"
sasl.username = "scorer"
sasl.password = "secret"
"""
_VARIABLES: Final = [
    *(f"SCORER_{name.upper()}" for name in scorer.settings.Settings.model_fields),
    "SCORER_KAFKA__SASL_PASSWORD",
    "SCORER_KAFKA__SASL_PASSWORD_FILE",
    "SCORER_KAFKA__SECURITY_PROTOCOL",
    "SCORER_PORT",
    "SCORER_",
    "SCORER_KAFKA__",
]
_variable_values: Final = st.one_of(
    text, st.sampled_from(["localhost:9092", "5", "true", "tcp://10.0.0.1:80", "/dev/null", "~", "~x/y", "s3://a:b@c"])
)
_settings: Final = st.tuples(
    mutated([_TOML, b""]),
    st.dictionaries(st.sampled_from(_VARIABLES), _variable_values.filter(lambda value: "\0" not in value), max_size=4),
)


def _load_settings(sources: tuple[bytes, dict[str, str]]) -> None:
    file, environment = sources
    with TemporaryDirectory() as scratch, chdir(scratch):
        Path("scorer.toml").write_bytes(file)
        loaded = scorer.settings.load_settings(environment=environment, file=Path("scorer.toml"))
        assert all("secret" not in value for name, value, _ in loaded.rows() if "password" in name)


def _load_producer_settings(sources: tuple[bytes, dict[str, str]]) -> None:
    file, environment = sources
    with TemporaryDirectory() as scratch, chdir(scratch):
        Path("scorer.toml").write_bytes(file)
        producer.settings.load_settings(environment=environment)


_MODEL: Final = (PLAIN / "model.ubj").read_bytes()
TARGETS: Final[dict[str, Target]] = {
    target.name: target
    for target in (
        Target("deployments", st.lists(st.one_of(st.none(), _documents(_EVENT)), max_size=4), _read_history),
        Target("dead-letters", _dead_letters, _read_dead_letter),
        Target(
            "reviews",
            st.lists(st.one_of(st.none(), _documents(REVIEW.model_dump(mode="json"))), max_size=4),
            _read_reviews,
        ),
        Target(
            "applications",
            st.lists(st.one_of(st.none(), _documents(json.loads(application()))), max_size=4),
            _score,
        ),
        Target("files", _files, _read_file, (ApplicationsFileError,)),
        Target("data-files", st.one_of(_files, _any_json_lines), _infer_contract, (ScorerError,)),
        Target(
            "contracts", st.tuples(_documents(_CONTRACT), _documents(_CONTRACT)), _compare_contracts, (ContractError,)
        ),
        Target(
            "manifests",
            _documents(json.loads((SHIPPED / "credit-risk" / "1.1.0" / MANIFEST_FILE).read_bytes())),
            _read_manifest,
            (BundleError,),
        ),
        Target("archives", _archives, _unpack, (ScorerError,)),
        Target("bentoml", _bentomodels, _import_bentomodel, (ScorerError,)),
        Target("models", mutated([_MODEL[:20_000], _MODEL]), _check_model, (ValueError,)),
        Target("settings", _settings, _load_settings, (ScorerError,)),
        Target("producer-settings", _settings, _load_producer_settings, (producer.errors.MisuseError,)),
        Target("console", REQUESTS, ask),
    )
}
