"""What comes from elsewhere: one version of Kafka, no image by a tag that moves, and a bill of materials of it all."""

import json
import re
import tomllib
from hashlib import sha256
from importlib import metadata
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
import yaml
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from scorer.local.docker_kafka import IMAGE
from scorer.local.jars import read_lock
from scorer.local.toolchain import KAFKA_VERSION
from supply_chain.crate_licences import licence_lines as crate_licence_lines
from supply_chain.crates import CARGO_LOCK, CRATE_LICENCES, crates
from supply_chain.kafka_lock import LICENCES, licence_lines, lock_lines
from supply_chain.sbom import make_licence_list, make_sbom

ROOT = Path(__file__).parents[2]
RUNTIME = ROOT / "runtime.lock"
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
LOCKS = [
    (ROOT / name).read_text(encoding="utf-8")
    for name in ("requirements.lock", "runtime.lock", "build.lock", "scorer/local/kafka.lock")
]


@pytest.fixture(scope="module")
def sbom() -> str:
    """The bill of materials as `make sbom` writes it."""
    return make_sbom()


def test_one_version_of_kafka() -> None:
    """The broker of `scorer up`, in Docker or on Java, Compose's and the benchmarks' Java client are one version."""
    peers = (ROOT / "benchmarks/peers/java/pom.xml").read_text(encoding="utf-8")
    assert COMPOSE["services"]["kafka"]["image"] == IMAGE
    assert f"<kafka.version>{KAFKA_VERSION}</kafka.version>" in peers
    assert IMAGE.startswith(f"apache/kafka:{KAFKA_VERSION}")


@pytest.mark.parametrize(
    "image",
    [
        IMAGE,
        *(service["image"] for service in COMPOSE["services"].values() if "build" not in service),
        *re.findall(r"^ARG \w+=(\S+)$", (ROOT / "Dockerfile").read_text(encoding="utf-8"), re.MULTILINE),
    ],
)
def test_images_are_pinned(image: str) -> None:
    """No image comes by a tag such as `latest` or `3.11`, and none but a viewer on request by a tag alone."""
    name, _, digest = image.partition("@")
    assert re.fullmatch(r"[a-z./-]+:v?\d+\.\d+\.\d+(-[a-z-]+)?", name)
    assert re.fullmatch(r"sha256:[0-9a-f]{64}", digest) or "kafka-ui" in name


def test_sbom_is_valid(sbom: str) -> None:
    """The bill of materials is a CycloneDX document by CycloneDX's own schema, which refuses what it does not know."""
    validator = JsonStrictValidator(SchemaVersion.V1_6)
    assert validator.validate_str(sbom) is None
    assert validator.validate_str(sbom.replace('"components"', '"parts"', 1)) is not None


def test_sbom_has_every_pinned_dependency(sbom: str) -> None:
    """Each package and crate of the locks and each of Kafka's jars is in it, in every version, with all checksums."""
    components = json.loads(sbom)["components"]
    pinned = re.findall(r"^([a-z0-9._-]+)==(\S+)", LOCKS[0], re.MULTILINE)
    named = [(c["name"], c["version"]) for c in components if c["purl"].startswith("pkg:pypi/")]
    assert sorted(named) == sorted(pinned)
    crates_named = sorted((c["name"], c["version"]) for c in components if c["purl"].startswith("pkg:cargo/"))
    assert crates_named == sorted((crate["name"], crate["version"]) for crate in _locked_crates())
    hashes = sorted(each["content"] for c in components for each in c["hashes"])
    assert hashes == sorted(
        [
            *re.findall(r"sha256:([0-9a-f]{64})", LOCKS[0]),
            *(crate["checksum"] for crate in _locked_crates()),
            *(jar.sha256 for jar in read_lock()),
        ]
    )


def test_the_sbom_lists_what_is_in_the_image(sbom: str) -> None:
    """What the image has is required; what training, development and a local broker need is optional."""
    required = {c["purl"].partition("@")[0] for c in json.loads(sbom)["components"] if c["scope"] == "required"}
    in_engine = {f"pkg:cargo/{crate.name}" for crate in crates() if crate.in_engine}
    assert required == in_engine | {f"pkg:pypi/{name}" for name in re.findall(r"^([a-z0-9._-]+)==", LOCKS[1], re.M)}
    assert {"pkg:pypi/confluent-kafka", "pkg:cargo/pyo3", "pkg:cargo/ryu"} <= required
    assert not required & {"pkg:pypi/pytest", "pkg:cargo/pyo3-macros", "pkg:cargo/autocfg"}


def test_no_registry_is_named(sbom: str) -> None:
    """Neither a lock nor the bill of materials says where to download: that is for the settings of pip and Maven."""
    document = json.loads(sbom)
    document.pop("$schema")
    document["metadata"].pop("tools", None)  # the library that wrote it, with its own home page
    assert not [address for text in (*LOCKS, json.dumps(document)) for address in re.findall(r"https?://\S+", text)]
    assert not re.findall(r"--(?:extra-)?index-url|--find-links", "".join(LOCKS))


def test_every_dependency_has_a_licence() -> None:
    """The list has a row for each dependency; only what this machine cannot install has no licence in it."""
    rows = [line.strip("| ").split(" | ") for line in make_licence_list().splitlines() if line.startswith("| ")][1:]
    assert len(rows) == len(re.findall(r"^\S+==", LOCKS[0], re.MULTILINE)) + len(crates()) + len(read_lock())
    assert {name for name, _, _, licence in rows if licence.startswith("not installed")} <= {"pywin32", "xgboost"}
    assert all(licence for *_, licence in rows)


def test_the_jars_have_the_licences_of_their_poms(tmp_path: Path) -> None:
    """A jar's licence is the one of its POM, else of the POM's parent; each jar of the lock has one."""
    names = [line.split("\t") for line in LICENCES.read_text(encoding="utf-8").splitlines()]
    assert [path for path, licence in names if licence] == [str(jar.path) for jar in read_lock()]
    project = '<project xmlns="http://maven.apache.org/POM/4.0.0">{}</project>'
    parent = "<parent><groupId>org.made</groupId><artifactId>up</artifactId><version>2</version></parent>"
    for path, content in (
        ("org/made/up/2/up-2.pom", "<licenses><license><name>MIT</name></license></licenses>"),
        ("org/made/jar/1/jar-1.pom", parent),
    ):
        (tmp_path / path).parent.mkdir(parents=True)
        (tmp_path / path).write_text(project.format(content), encoding="utf-8")
    jar = tmp_path / "org/made/jar/1/jar-1.jar"
    jar.write_bytes(b"")
    assert licence_lines(tmp_path, [PurePosixPath("org/made/jar/1/jar-1.jar")]) == ["org/made/jar/1/jar-1.jar\tMIT"]
    (line,) = lock_lines(tmp_path)
    assert line == f"{sha256(b'').hexdigest()}  org/made/jar/1/jar-1.jar"


def _locked_crates() -> list[dict[str, Any]]:
    """The crates of engine/Cargo.lock that come from elsewhere."""
    packages = tomllib.loads(CARGO_LOCK.read_text(encoding="utf-8"))["package"]
    return [package for package in packages if package["name"] != "scorer-engine"]


def test_crates_come_from_nowhere_in_particular() -> None:
    """Each has a checksum, and no source but cargo's default one, which cargo requires in its lock."""
    assert {crate["source"] for crate in _locked_crates()} == {"registry+https://github.com/rust-lang/crates.io-index"}
    assert all(re.fullmatch(r"[0-9a-f]{64}", crate["checksum"]) for crate in _locked_crates())


@pytest.mark.parametrize(("file", "options"), [("Makefile", "CARGO_OPTIONS := "), ("Dockerfile", "RUN cargo build ")])
def test_builds_use_the_locked_crates(file: str, options: str) -> None:
    """Where the engine is built, cargo takes the crates in the lock, or fails."""
    (line,) = [line for line in (ROOT / file).read_text(encoding="utf-8").splitlines() if line.startswith(options)]
    assert "--locked" in line.split()


def test_crates_have_the_licences_of_their_metadata() -> None:
    """The list has each locked crate once; what is needed only by a macro or a build script is not in the engine."""
    listed = [line.split("\t")[:2] for line in CRATE_LICENCES.read_text(encoding="utf-8").splitlines()]
    assert listed == sorted([crate["name"], crate["version"]] for crate in _locked_crates())
    kinds = {"engine": "cdylib", "linked": "lib", "macro": "proc-macro", "of-macro": "lib", "builder": "lib"}
    needs: dict[str, dict[str, str | None]] = {
        "engine": {"linked": None, "macro": None, "builder": "build"},
        "macro": {"of-macro": None},
    }
    metadata = {
        "packages": [
            {
                "id": name,
                "name": name,
                "version": "1.0.0",
                "license": "MIT",
                "source": None if name == "engine" else "a registry",
                "targets": [{"kind": [kind]}],
            }
            for name, kind in kinds.items()
        ],
        "resolve": {
            "root": "engine",
            "nodes": [
                {
                    "id": name,
                    "deps": [{"pkg": pkg, "dep_kinds": [{"kind": kind}]} for pkg, kind in needs.get(name, {}).items()],
                }
                for name in kinds
            ],
        },
    }
    assert crate_licence_lines(metadata) == [
        "builder\t1.0.0\tbuild\tMIT",
        "linked\t1.0.0\tengine\tMIT",
        "macro\t1.0.0\tbuild\tMIT",
        "of-macro\t1.0.0\tbuild\tMIT",
    ]


def _pinned(lock: Path) -> list[tuple[Requirement, set[str]]]:
    """What a lock pins: each requirement, and its digests."""
    pins = re.findall(r"^(\S.*?) \\\n((?: +--hash=\S+(?: \\)?\n)+)", lock.read_text(encoding="utf-8"), re.MULTILINE)
    return [(Requirement(line), set(re.findall(r"sha256:[0-9a-f]{64}", digests))) for line, digests in pins]


def test_every_library_is_pinned_by_version_and_digest() -> None:
    """Exactly one version each, with digests, and no address of a registry."""
    text = RUNTIME.read_text(encoding="utf-8")
    pinned = _pinned(RUNTIME)
    assert "://" not in text
    assert len(pinned) == len(re.findall(r"^\S", text, re.MULTILINE)) > 10
    assert all(str(requirement.specifier).startswith("==") and digests for requirement, digests in pinned)


def test_the_lock_covers_what_the_package_depends_on() -> None:
    """And what that depends on, to the end: installing without looking at dependencies leaves none out."""
    here = {
        canonicalize_name(requirement.name): requirement
        for requirement, _ in _pinned(RUNTIME)
        if requirement.marker is None or requirement.marker.evaluate()
    }
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    # What a worker may need, an ONNX model, a store in S3, traces, signatures; and the console: one image does for all.
    used = ("onnx", "s3", "otel", "signatures", "console")
    declared = [*project["dependencies"], *(line for extra in used for line in extras[extra])]
    wanted, covered = [Requirement(line) for line in declared], set[str]()
    while wanted:
        requirement = wanted.pop()
        name = canonicalize_name(requirement.name)
        if (requirement.marker and not requirement.marker.evaluate({"extra": ""})) or name in covered:
            continue
        covered.add(name)
        (pin,) = here[name].specifier
        assert requirement.specifier.contains(pin.version)
        wanted += map(Requirement, metadata.requires(name) or ())
    assert covered == set(here)


def test_the_lock_is_the_one_that_is_tested_with() -> None:
    """The image has the versions that the tests have run with, from the same files."""
    tested = {
        f"{requirement.name}{requirement.specifier}": digests
        for requirement, digests in _pinned(ROOT / "requirements.lock")
    }
    for requirement, digests in _pinned(RUNTIME):
        assert digests <= tested[f"{requirement.name}{requirement.specifier}"]
