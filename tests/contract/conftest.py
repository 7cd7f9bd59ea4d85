"""The stages: the fake, and the real broker, in both modes of delivery; and the example of a custom runner."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import get_args

import pytest

from scorer.errors import LocalBrokerError
from scorer.local.apache_kafka import JavaBroker
from scorer.local.broker import Broker, start_broker
from tests.contract.fake_link import Delivery
from tests.contract.runner_bundles import install_example
from tests.contract.stages import FakeStage, KafkaStage, Stage

_STAGES = [
    pytest.param((kind, delivery), id=f"{kind}-{delivery}", marks=[pytest.mark.broker] if kind == "kafka" else [])
    for kind in ("fake", "kafka")
    for delivery in get_args(Delivery)
]


@pytest.fixture(params=_STAGES)
def stage(request: pytest.FixtureRequest) -> Iterator[Stage]:
    """Every stage in turn."""
    kind, delivery = request.param
    if kind == "fake":
        yield FakeStage(delivery)
        return
    broker: Broker = request.getfixturevalue("broker")
    with closing(KafkaStage(broker.bootstrap_servers, delivery)) as real:
        yield real


@pytest.fixture(params=get_args(Delivery))
def kafka_stage(request: pytest.FixtureRequest, broker: Broker) -> Iterator[KafkaStage]:
    """The real broker in both modes of delivery."""
    with closing(KafkaStage(broker.bootstrap_servers, request.param)) as real:
        yield real


@pytest.fixture(scope="session")
def own_broker() -> Iterator[JavaBroker]:
    """A broker that may be killed, and runs again after each test; a start costs some seconds of CPU."""
    try:
        own = start_broker("java")
    except LocalBrokerError as fault:
        pytest.skip(f"needs a broker that may be killed: {fault}")
    with own as broker:
        assert isinstance(broker, JavaBroker)
        yield broker


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with the example of a custom runner, in which this process looks for packages too."""
    target = tmp_path_factory.mktemp("installed")
    install_example(target)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(target)
        yield target
