"""The interface page says all that the AsyncAPI document says, with the topics as they are here."""

import ast
from html import unescape

from schemas.asyncapi import build_document
from schemas.contracts import shipped_contract
from scorer.console.examples import EXAMPLES
from scorer.console.pages import PAGES, render_page
from scorer.settings import Settings

OWN = Settings(
    bootstrap_servers="kafka-1:9092,kafka-2:9092",
    applications_topic="my.applications",
    decisions_topic="my.decisions",
    dead_letters_topic="my.dead-letters",
    deployments_topic="my.deployments",
)


def render_interface(settings: Settings) -> str:
    """The page."""
    (page,) = (page for page in PAGES if page.file == "interface")
    return render_page(page, settings, None, may_log_out=False)


def test_every_part_of_the_document_is_shown() -> None:
    """Each message with its fields and headers, and each topic under the name that it has here."""
    page = unescape(render_interface(OWN))
    document = build_document(shipped_contract())
    for message in document["components"]["messages"].values():
        assert message["title"] in page
        for header in message.get("headers", {}).get("properties", {}):
            assert f"<code>{header}</code>" in page
    for name in document["components"]["schemas"]["CreditApplication"]["properties"]:
        assert f"<dt><code>{name}</code></dt>" in page
    for topic in (OWN.applications_topic, OWN.decisions_topic, OWN.dead_letters_topic, OWN.deployments_topic):
        assert f"<code>{topic}</code>" in page
    assert "bundle.digest" in page, "fields of fields too"
    assert "rent, owner, private" in page
    assert "number, above 0 to 600" in page


def test_nothing_of_markdown_is_left() -> None:
    """What the document marks up is marked up here."""
    page = render_interface(OWN)
    assert "**" not in page
    assert "`" not in page


def test_the_examples_are_filled_in() -> None:
    """Every one has this set-up's brokers and topics and nothing left to fill in; the Python is Python."""
    for example in EXAMPLES:
        text = example.text(OWN)
        assert OWN.bootstrap_servers in text
        assert "$" not in text.replace("$@", "")
        assert OWN.applications_topic in text or OWN.decisions_topic in text
        if example.title.startswith("Python"):
            ast.parse(text)


def test_no_secret_is_in_an_example() -> None:
    """What stands under [kafka] is not shown."""
    secret = OWN.model_copy(update={"kafka": {"sasl.password": "hunter2"}})
    assert "hunter2" not in render_interface(secret)
