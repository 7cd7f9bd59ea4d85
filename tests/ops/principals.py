"""What each role does on Kafka, in this process: each function ends well, or raises what its command would print."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from threading import Event
from typing import Final, cast

import numpy as np
from confluent_kafka import Consumer, KafkaException
from numpy.typing import NDArray

from producer.client import ApplicationPublisher
from producer.deployed import find_deployed_contract
from producer.errors import PublisherError
from producer.settings import Settings as PublisherSettings
from producer.tail import TopicTail
from schemas.contracts import shipped_contract
from schemas.deployment import DeploymentEvent
from schemas.examples import APPLICATIONS, DEPLOYMENT, REVIEW
from schemas.records import OFFSET_MAX
from schemas.rights import Operation, Role
from scorer.console.cluster_polling import poll_cluster
from scorer.console.live import Live, Part
from scorer.console.polling import poll_group
from scorer.console.publish import RecordPublisher, make_try
from scorer.console.requeue_task import RequeueTask, Selection
from scorer.console.review_follower import follow_reviews
from scorer.console.tail import Sample, follow_results
from scorer.console.watch import run_with_restarts
from scorer.errors import BrokerError, ModelError, TopicsError
from scorer.operate import topics
from scorer.operate.cluster import ClusterReader
from scorer.operate.dead_letters import read_dead_letters, requeue
from scorer.operate.deployments import append_event, read_history
from scorer.operate.diagnose import diagnose
from scorer.operate.dry_run import compare_contracts
from scorer.operate.latest import LatestFigures
from scorer.operate.offsets import OffsetsTool
from scorer.operate.reading import TopicReader
from scorer.operate.review_queue import ReviewQueue
from scorer.operate.rollout import wait_for_workers
from scorer.process import ReplayOptions, replay
from scorer.replay.filters import Filters, select
from scorer.replay.plan import Origin, make_plan
from scorer.replay.results import read_replay_results
from scorer.settings import Settings
from scorer.stop import Stop
from scorer.stream.admin import admin_client
from scorer.stream.history import HistoryReader, State
from scorer.stream.kafka import KafkaLink
from scorer.stream.rights import READER_GROUP
from scorer.stream.worker import run
from scorer.watchdog import Watchdog
from tests.fakes import CountingMonitor, Tally, TinyModel, tiny_bundle

WAIT_S: Final = 60.0
BUNDLE: Final = tiny_bundle()
DEAREST: Final = 2_000
"""An amount that the bundle of the replays cannot decide."""


class _Picky(TinyModel):
    """Fails where the amount is the dearest one."""

    def predict(self, matrix: NDArray[np.float32]) -> NDArray[np.float32]:
        if (matrix[:, 0] == DEAREST).any():
            raise ModelError("too dear")
        return super().predict(matrix)


_AGAIN: Final = tiny_bundle(_Picky())


class Alarm(Exception):  # noqa: N818  (it is what a test waits for)
    """Nothing has happened for too long."""


def within(seconds: float) -> Callable[[], bool]:
    """A question that is false for so many seconds, and raises then."""
    ends_at = time.monotonic() + seconds

    def is_over() -> bool:
        if time.monotonic() > ends_at:
            raise Alarm
        return False

    return is_over


def work(settings: Settings) -> None:
    """Decides one application, as a worker does that follows the deployments."""
    with closing(HistoryReader(settings, Operation.READ)) as history:
        history.read_to_end()
    tally, late = Tally(), within(WAIT_S)
    with closing(KafkaLink(settings, tally, lambda: False, refused=lambda: "")) as link:
        run(link, lambda: BUNDLE, CountingMonitor(), 65_536, lambda: tally.records > 0 or late())


def publish(settings: Settings) -> None:
    """Publishes by the deployed contract, and reads what was decided and what was rejected."""
    own = PublisherSettings(bootstrap_servers=settings.bootstrap_servers, kafka=settings.kafka)
    if (error := find_deployed_contract(own).error) is not None:
        raise error
    with ApplicationPublisher(own) as publisher:
        publisher.publish(APPLICATIONS["plain"])
    wanted = {own.decisions_topic, own.dead_letters_topic}
    late = within(WAIT_S)
    with TopicTail(own, sorted(wanted), from_beginning=True) as tail:
        while wanted and not late():
            message = tail.poll(0.2)
            wanted.discard("" if message is None else message.topic() or "")


def read(settings: Settings) -> None:
    """Reads a decision, as a consumer of somebody's own."""
    config = {"group.id": READER_GROUP, "auto.offset.reset": "earliest", "enable.auto.commit": False}
    late = within(WAIT_S)
    with closing(Consumer({"bootstrap.servers": settings.bootstrap_servers, **config, **settings.kafka})) as consumer:
        consumer.subscribe([settings.decisions_topic])
        while not late():
            message = consumer.poll(0.2)
            if message is not None and (error := message.error()) is not None:
                raise KafkaException(error)
            if message is not None:
                return


def deploy(settings: Settings) -> None:
    """Tries a contract, adds a deployment to the history, and asks the workers how far they have come."""

    def decide(_: State) -> DeploymentEvent:
        return DEPLOYMENT

    read_history(settings)
    compare_contracts(settings, shipped_contract(), None, 10)
    append_event(settings, decide)
    assert DEPLOYMENT.bundle is not None
    wait_for_workers(settings, DEPLOYMENT.bundle, 0)


def put_back(settings: Settings) -> None:
    """Lists dead letters and requeues those that are new."""
    assert list(read_dead_letters(settings))
    assert requeue(settings, lambda _: True, "ana").requeued


def reset(settings: Settings) -> None:
    """Shows the group's offsets, and moves one."""
    with closing(OffsetsTool(settings)) as tool:
        changes = tool.plan([0], 0)
        assert changes
        tool.reset(changes, 5)


def create(settings: Settings) -> None:
    """Creates the topics and compares them with the contract."""
    topics.ensure(settings, 1, 1)
    if differences := topics.check(settings):
        raise TopicsError("; ".join(differences))


def examine(settings: Settings) -> None:
    """Asks the doctor."""
    default = "credit-risk:1.1.0"
    problems = [finding.text for finding in diagnose(settings, None, default) if "Allow" in finding.text]
    if problems:
        raise BrokerError("; ".join(problems))


def watch(settings: Settings) -> None:
    """Sees what the console shows, publishes a try and a review, and requeues dead letters."""
    stop, live, latest = Event(), _LiveUntil(), LatestFigures()
    live.end = stop
    run_with_restarts(Part.GROUP, lambda: poll_group(settings, live, latest.group, stop), live, stop)
    stop.clear()
    run_with_restarts(Part.BROKERS, lambda: poll_cluster(settings, live, latest.cluster, stop), live, stop)
    stop.clear()
    run_with_restarts(Part.RESULTS, lambda: follow_results(settings, live, Sample(), stop), live, stop)
    stop.clear()
    run_with_restarts(Part.REVIEWS, lambda: follow_reviews(settings, live, ReviewQueue(), stop), live, stop)
    if live.error:
        raise BrokerError(live.error)
    cluster = ClusterReader(settings, admin_client(settings))
    cluster.read()
    if cluster.unread:  # the console logs it
        raise TopicsError("; ".join(cluster.unread.values()))
    attempt = make_try(APPLICATIONS["plain"], shipped_contract())
    RecordPublisher(settings, settings.applications_topic, "the application").publish(attempt.id, attempt.value)
    review = REVIEW.model_dump_json().encode()
    RecordPublisher(settings, settings.reviews_topic, "the review").publish(REVIEW.application_id, review)
    read = settings.decisions_topic, settings.dead_letters_topic, settings.applications_topic, settings.reviews_topic
    for topic in read:
        with closing(TopicReader(settings, topic)) as reader:
            assert any(map(len, reader.read(reader.bounds())))
    _requeue_as_operator(settings)


def _requeue_as_operator(settings: Settings) -> None:
    """Requeues the dead letters of a code, as an operator does in the console."""
    task, late = RequeueTask(settings, lambda: False), within(WAIT_S)
    task.start(Selection(code="model_error", ranges=((0, 0, OFFSET_MAX), (1, 0, OFFSET_MAX))), "dora", "")
    while task.running and not late():
        time.sleep(0.05)
    state = task.as_json()
    assert state is not None
    if state["error"]:
        raise BrokerError(state["error"])
    assert state["done"]


class _LiveUntil(Live):
    """Ends a watch with the first that it says."""

    end: Event
    error = ""

    def set_error(self, part: Part, text: str) -> None:
        super().set_error(part, text)
        self.error = self.error or text
        self.end.set()


def replay_all(settings: Settings) -> None:
    """Plans a replay of everything, runs it, and reads what came of it."""
    read_history(settings)
    selected = select(settings, Filters(), _quietly)
    plan = make_plan(settings, selected.selection, _AGAIN.reference, "any application", Origin())
    stop = cast("Stop", _NeverStopped())
    options = ReplayOptions(1_000, publish_unchanged=True, http_port=None)
    progress = replay(settings, plan, _AGAIN, options, lambda _: None, stop, Watchdog(60))
    assert progress.complete
    results = read_replay_results(settings, plan, progress.offsets)
    assert results.corrections
    assert results.rejected


@contextmanager
def _quietly(_: str) -> Iterator[Callable[[int, int], None]]:
    yield lambda _done, _total: None


class _NeverStopped:
    """Hears no signals, and ends what takes too long."""

    def __init__(self) -> None:
        self.requested = within(WAIT_S)

    def begin(self, _: float) -> None:
        """A batch may be in hand."""

    def timed_out(self) -> bool:
        return False


DOES: Final[Mapping[Role, Callable[[Settings], None]]] = {
    Role.WORKER: work,
    Role.PUBLISHER: publish,
    Role.READER: read,
    Role.DEPLOY: deploy,
    Role.DLQ: put_back,
    Role.OFFSETS: reset,
    Role.TOPICS: create,
    Role.DOCTOR: examine,
    Role.CONSOLE: watch,
    Role.REPLAY: replay_all,
}
"""What each role does."""
REFUSALS: Final = (BrokerError, TopicsError, PublisherError, KafkaException)
"""What it raises where a right is missing."""
