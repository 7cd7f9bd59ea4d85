"""The page of the rights on Kafka: who needs which, and the commands that grant them, from the table itself."""

from collections.abc import Iterator
from typing import Final

from documentation.fields import table
from schemas.rights import Role, grant
from scorer.settings import Settings
from scorer.stream.rights import TITLES, needs_of

_INTRODUCTION: Final = """# Rights on Kafka

The least that each one needs on brokers with an authorizer, for the default names. `scorer topics rights` prints the
commands for yours:

```sh
scorer topics rights worker --principal User:scorer
scorer topics rights deploy dlq offsets topics --principal User:ana
```

`admin.properties` holds the login of somebody who may change ACLs. Read and Write include Describe. With one right less
something fails, and the message names the right and the command that grants it.
[What these rights mean](../secured-kafka.md#what-these-rights-mean) is worth reading before you grant them.
"""


def rights_page() -> str:
    """The page."""
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


def _resource(words: str, name: str) -> str:
    return f"{words.removesuffix(name)}`{name}`"
