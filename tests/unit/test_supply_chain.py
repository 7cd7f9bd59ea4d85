"""What comes from elsewhere: one version of Kafka everywhere, and no image by a tag that moves."""

import re
from pathlib import Path

import pytest

from scorer.local.docker_kafka import IMAGE
from scorer.local.toolchain import KAFKA_VERSION

ROOT = Path(__file__).parents[2]
COMPOSE = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")


def test_one_version_of_kafka() -> None:
    """The broker of `scorer up`, in Docker or on Java, Compose's and the benchmarks' Java client are one version."""
    peers = (ROOT / "benchmarks/peers/java/pom.xml").read_text(encoding="utf-8")
    assert f"image: apache/kafka:{KAFKA_VERSION}" in COMPOSE
    assert f"<kafka.version>{KAFKA_VERSION}</kafka.version>" in peers
    assert IMAGE.startswith(f"apache/kafka:{KAFKA_VERSION}")


@pytest.mark.parametrize(
    "image",
    [
        IMAGE,
        *(name for name in re.findall(r"^ +image: (\S+)$", COMPOSE, re.MULTILINE) if "streaming-credit" not in name),
        *re.findall(r"^ARG BASE=(\S+)$", (ROOT / "Dockerfile").read_text(encoding="utf-8"), re.MULTILINE),
    ],
)
def test_images_have_a_full_version(image: str) -> None:
    """No image comes by a tag such as `latest` or `3.11`, which names another image after the next release."""
    assert re.fullmatch(r"[a-z./-]+:v?\d+\.\d+\.\d+(-[a-z-]+)?(@sha256:[0-9a-f]{64})?", image)
