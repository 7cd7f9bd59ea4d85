"""Whether a link is connected to a broker, as the callbacks of its two clients report it."""

from confluent_kafka import KafkaError

from scorer.logs import CONNECTION_FAILED, log
from scorer.stream.observer import Observer
from scorer.stream.statistics import read_statistics


class Connection:
    """Passes the clients' reports on to the observer."""

    def __init__(self, observer: Observer) -> None:
        self._observer = observer
        self.is_reachable = True
        """Whether the consumer is connected to a broker. Set by its callbacks, which run while polling."""

    def on_error(self, error: KafkaError) -> None:
        """The consumer reports an error of its connections."""
        if error.code() == KafkaError._ALL_BROKERS_DOWN:
            self.is_reachable = False
            self._observer.reachable(False)
        log(CONNECTION_FAILED, error=error.str())

    def on_statistics(self, text: str) -> None:
        """The consumer or the producer reports its statistics."""
        statistics = read_statistics(text)
        if statistics.client == "consumer":
            self.is_reachable = statistics.connections > 0
            self._observer.reachable(self.is_reachable)
        self._observer.statistics(statistics)
