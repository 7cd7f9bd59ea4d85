"""Writes what is generated from the contract, and says with `--check` what is stale: `python -m schemas.generate`."""

import argparse
import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel

from schemas.application import CONTRACT_VERSION, CreditApplication
from schemas.asyncapi import build_document
from schemas.decision import Decision
from schemas.deployment import DeploymentEvent
from schemas.examples import APPLICATIONS, DECISION, DEPLOYMENT, INVALID
from schemas.files import dump_application

Files = Mapping[str, bytes]
"""Contents by path."""
FOLDER: Final = Path(__file__).parent / "generated"
_MODELS: Final[Mapping[str, type[BaseModel]]] = {
    "application": CreditApplication,
    "decision": Decision,
    "deployment-event": DeploymentEvent,
}


def generate() -> dict[str, bytes]:
    """Everything that is generated: contents by path in the folder, the same on every run."""
    made = {f"{name}.schema.json": _dump(_schema(name, model)) for name, model in _MODELS.items()}
    made["asyncapi.yaml"] = dump_yaml(build_document())
    # One line each, so that every file of applications is JSON lines as well, and can be published as it is.
    for name, application in APPLICATIONS.items():
        made[f"examples/applications/{name}.json"] = dump_application(application) + b"\n"
    made["examples/decision.json"] = DECISION.model_dump_json().encode() + b"\n"
    made["examples/deployment-event.json"] = DEPLOYMENT.model_dump_json().encode() + b"\n"
    for record in INVALID:
        if record.file is not None and record.value is not None:
            made[f"examples/invalid/{record.file}"] = record.value
    index = [
        {"code": r.code, "reason": r.reason, "file": r.file}
        | ({} if r.how_to_make is None else {"how_to_make": r.how_to_make})
        for r in INVALID
    ]
    made["examples/invalid/index.json"] = _dump(index)
    return made


def find_stale(folder: Path, made: Files) -> list[str]:
    """What in the folder is not as it would be made now, a line each; files that nothing makes are named too."""
    there = {str(path.relative_to(folder).as_posix()) for path in folder.rglob("*") if path.is_file()}
    return sorted(
        [f"{name}: missing" for name in made.keys() - there]
        + [f"{name}: not made by anything" for name in there - made.keys()]
        + [
            f"{name}: not as it would be made now"
            for name in made.keys() & there
            if (folder / name).read_bytes() != made[name]
        ]
    )


def report_stale(stale: list[str]) -> int:
    """Names what is stale on stderr; returns the exit code, 1 if anything is."""
    if stale:
        sys.stderr.write("stale, `make fresh` mends it:\n" + "".join(f"  {line}\n" for line in stale))
    return 1 if stale else 0


def write_or_check(
    arguments: list[str] | None, program: str, purpose: str | None, folder: Path, generate: Callable[[], Files]
) -> int:
    """What a generator of one folder does when it is run: it writes, or with `--check` it names what is stale.

    Args:
        arguments: the command line's; None takes the process's.
        program: how it is called, for its help.
        purpose: what it does, for its help.
        folder: what belongs to it alone.
        generate: the contents by path in the folder.

    Returns:
        The exit code.
    """
    parser = argparse.ArgumentParser(prog=f"python -m {program}", description=purpose)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 and name what is stale")
    if parser.parse_args(arguments).check:
        return report_stale(find_stale(folder, generate()))
    write(folder, generate())
    return 0


def write(folder: Path, made: Files) -> None:
    """Writes the files and removes those that nothing makes any more."""
    for path in folder.rglob("*"):
        if path.is_file() and path.relative_to(folder).as_posix() not in made:
            path.unlink()
    for name, content in made.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)


def main(arguments: list[str] | None = None, folder: Path = FOLDER) -> int:
    """The command; returns the exit code."""
    return write_or_check(arguments, "schemas.generate", __doc__, folder, generate)


def _schema(name: str, model: type[BaseModel]) -> dict[str, Any]:
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:streaming-credit-scorer:{name}:{CONTRACT_VERSION}",
        **model.model_json_schema(),
    }


def _dump(value: object) -> bytes:
    return (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode()


def dump_yaml(document: object) -> bytes:
    """YAML that a person can read: in the order given, texts of several lines as blocks, nothing by reference."""
    import yaml  # a development dependency: only who generates needs it

    class Dumper(yaml.SafeDumper):
        """Writes texts of several lines as blocks, and repeats what is repeated: a reader follows no anchors."""

        def ignore_aliases(self, data: object) -> bool:  # noqa: ARG002
            return True

    def represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
        return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)

    Dumper.add_representer(str, represent_text)
    written: str = yaml.dump(document, Dumper=Dumper, sort_keys=False, allow_unicode=True, width=120)
    return written.encode()


if __name__ == "__main__":
    sys.exit(main())
