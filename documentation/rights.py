"""Reference page of the permissions on Kafka, and the commands that grant them, from scorer/stream/rights.py."""

from collections.abc import Iterator
from typing import Final

from documentation.fields import table
from schemas.rights import Role, grant
from scorer.settings import Settings
from scorer.stream.rights import TITLES, needs_of

_INTRODUCTION: Final = """# Permissions on Kafka

The least privileges that each role needs on brokers with an authorizer, for the default names. `scorer topics rights`
prints the commands for your names:

```sh
scorer topics rights worker --principal User:scorer
scorer topics rights deploy dlq offsets topics --principal User:ana
```

`admin.properties` contains the login of a user who may change ACLs. Read and Write include Describe. If a permission is
missing, the error message names it and the command that grants it. Before you grant them, read
[What these permissions mean](../secured-kafka.md#what-these-permissions-mean).
"""


def rights_page() -> str:
    """Returns the page."""
    return "\n".join([_INTRODUCTION, *(line for role in Role for line in _role(role))])


def _role(role: Role) -> Iterator[str]:
    settings = Settings(bootstrap_servers="kafka-1:9093")
    needs = needs_of(role, settings)
    yield f"## {role}\n"
    yield f"{TITLES[role]}.\n"
    rows = ((need.right.operation, _resource(need.right.resource, need.right.name), need.why) for need in needs)
    yield table(("operation", "on", "why"), rows)
    yield "\n```sh"
    yield from grant((need.right for need in needs), "User:NAME", settings.bootstrap_servers)
    yield "```\n"


def _resource(description: str, name: str) -> str:
    return f"{description.removesuffix(name)}`{name}`"
