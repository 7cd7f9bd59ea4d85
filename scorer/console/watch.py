"""Keeps a watch running: what keeps it from seeing is shown on the pages, and it starts again a moment later."""

from collections.abc import Callable
from threading import Event
from typing import Final

from confluent_kafka import KafkaError, KafkaException

from schemas.rights import Role
from scorer.console.live import Live, Part
from scorer.errors import ScorerError
from scorer.logs import log_thread_crash
from scorer.settings import Settings
from scorer.stream.explain import with_hint
from scorer.stream.faults import must_stop
from scorer.stream.reaching import unreachable
from scorer.stream.rights import needs_of

_AGAIN_S: Final = 2.0


def keep_watching(part: Part, watch: Callable[[], None], settings: Settings, live: Live, stop: Event) -> None:
    """Runs a watch again and again until it is told to stop.

    Args:
        part: what is watched, as its trouble is named by.
        watch: returns when it is told to stop; whatever it opens it closes.
        settings: the brokers.
        live: is told why nothing is seen.
        stop: ends it.
    """
    while not stop.is_set():
        try:
            watch()
        except ScorerError as fault:
            live.trouble(part, str(fault))
        except KafkaException as failure:
            live.trouble(part, _explain(failure.args[0], settings))
        except Exception as crash:  # noqa: BLE001  a fault in the program; the log says where, and the watch goes on
            log_thread_crash(part, crash)
            live.trouble(part, f"a fault in the program ({type(crash).__name__}): the log says where")
        stop.wait(_AGAIN_S)


def _explain(error: KafkaError, settings: Settings) -> str:
    if not must_stop(error):
        return unreachable(settings, error.str())
    rights = [need.right for need in needs_of(Role.CONSOLE, settings)]
    return f"the brokers refuse the console: {with_hint(error, settings, *rights)}"
