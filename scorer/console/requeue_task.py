"""Requeues dead letters in a thread for the console's operators, one requeue at a time, and keeps its progress."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from threading import Thread
from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field

from schemas.records import OFFSET_MAX, PARTITION_MAX, DeadLetter, Position
from scorer.errors import DeadLetterError, MisuseError, ScorerError
from scorer.logs import DEAD_LETTERS_REQUEUED, REQUEUE_FAILED, log, log_thread_crash
from scorer.operate.dead_letters import Progress, requeue
from scorer.settings import Settings

_BYTES_MAX: Final = 67_108_864
"""Values of one requeue, which are in memory until it ends: the chart gives the console 384 MB."""
_RANGES_MAX: Final = 1_000
"""One per partition of the dead-letter topic, which has one by default."""
_TRANSACTION_S: Final = 5.0
"""A transaction takes less than a second; without an answer of the brokers, the next requeue aborts it."""

_Partition = Annotated[int, Field(ge=0, le=PARTITION_MAX)]
_Offset = Annotated[int, Field(ge=0, le=OFFSET_MAX)]


class Selection(BaseModel):
    """The dead letters that a page asks to requeue: those with one code, and within ranges of offsets.

    The ranges are of the list that the user has seen, so that a dead letter that arrived later is not among them.
    """

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")

    code: str
    """The code under which they are counted."""
    ranges: tuple[tuple[_Partition, _Offset, _Offset], ...] = Field(min_length=1, max_length=_RANGES_MAX)
    """Partition, first and last offset."""

    def selector(self) -> Callable[[DeadLetter], bool]:
        """Returns a function that selects the dead letters.

        It raises MisuseError if their values together are too large to be held in memory.
        """
        bounds: dict[int, list[tuple[int, int]]] = {}
        for partition, first, last in self.ranges:
            bounds.setdefault(partition, []).append((first, last))
        selected_bytes = 0

        def is_selected(letter: DeadLetter) -> bool:
            nonlocal selected_bytes
            partition, offset = letter.position
            if letter.counted_as != self.code or not any(a <= offset <= b for a, b in bounds.get(partition, ())):
                return False
            selected_bytes += len(letter.value or b"")
            if selected_bytes > _BYTES_MAX:
                raise MisuseError(
                    f"nothing was requeued: these dead letters have more than {_BYTES_MAX:,} bytes, which the console "
                    "does not hold in memory; use `scorer dlq requeue`"
                )
            return True

        return is_selected


@dataclass(frozen=True, slots=True)
class RequeueState:
    """The state of the newest requeue.

    Attributes:
        number: counts the requeues of this process, from 1 on.
        operator: who began it.
        code: the code of its dead letters.
        began_at: ISO 8601, in UTC.
        total: how many are to be requeued; None before the dead letters were read.
        done: how many were requeued, each in a committed transaction.
        requeued_before: how many had been requeued before, and were skipped.
        pointers: how many have no copy of their record, and were skipped.
        has_ended: whether it has ended, by success or by an error.
        error: why it ended early; empty if it did not.
    """

    number: int
    operator: str
    code: str
    began_at: str
    total: int | None = None
    done: int = 0
    requeued_before: int = 0
    pointers: int = 0
    has_ended: bool = False
    error: str = ""


class RequeueTask:
    """Runs one requeue at a time. Others, of commands and of other consoles, are fenced as any requeue is."""

    def __init__(self, settings: Settings, should_stop: Callable[[], bool]) -> None:
        """Connects on request.

        Args:
            settings: the topics.
            should_stop: whether the console is shutting down, which ends a requeue after its current transaction.
        """
        self._settings = settings
        self._should_stop = should_stop
        self._thread: Thread | None = None
        """The thread of the newest requeue; written by `start`, in the event loop's thread."""
        self._state: RequeueState | None = None
        """Of the newest requeue: written by `start`, and by the requeue's own thread until it has ended."""

    @property
    def running(self) -> RequeueState | None:
        """The requeue that runs; None if none does."""
        state = self._state
        return None if state is None or state.has_ended else state

    def as_json(self) -> dict[str, Any] | None:
        """The state of the newest requeue as JSON; None before the first one."""
        return None if self._state is None else asdict(self._state)

    def start(self, selection: Selection, operator: str, client: str) -> None:
        """Begins a requeue in the background; none may be running.

        Args:
            selection: the dead letters.
            operator: who requeues them, which their marks say.
            client: the address of the operator's browser, for the log.
        """
        assert self.running is None, "the endpoint has checked that"
        number = 1 if self._state is None else self._state.number + 1
        began_at = datetime.now(UTC).isoformat(timespec="seconds")
        self._state = RequeueState(number, operator, selection.code, began_at)
        self._thread = Thread(target=self._run, args=(self._state, selection, client), name="requeue", daemon=True)
        self._thread.start()

    def wait(self) -> None:
        """Waits for the newest requeue, no longer than for a transaction: the console is shutting down."""
        if self._thread is not None:
            self._thread.join(_TRANSACTION_S)

    def _run(self, state: RequeueState, selection: Selection, client: str) -> None:
        """Requeues, and always ends the state."""

        def report(progress: Progress) -> None:
            nonlocal state
            committed = progress.committed
            self._state = state = replace(state, total=progress.total, done=state.done + len(committed))
            if committed:
                log(
                    DEAD_LETTERS_REQUEUED,
                    client=client,
                    operator=state.operator,
                    code=state.code,
                    count=len(committed),
                    positions=_describe(committed),
                )

        try:
            result = requeue(self._settings, selection.selector(), state.operator, report, self._should_stop)
            if state.done < (state.total or 0):
                raise DeadLetterError("the console was stopped: requeue the rest again")
            state = replace(state, requeued_before=len(result.requeued_before), pointers=len(result.pointers))
        except ScorerError as fault:
            state = replace(state, error=str(fault))
            log(REQUEUE_FAILED, client=client, operator=state.operator, code=state.code, error=str(fault))
        except Exception as crash:  # noqa: BLE001  (a bug; it is logged, and the console continues)
            log_thread_crash("requeue", crash)
            state = replace(state, error=f"unexpected error ({type(crash).__name__}, a bug): see the console's log")
        finally:
            self._state = replace(state, has_ended=True)


def _describe(positions: Sequence[Position]) -> list[str]:
    """The positions as `partition:offset`; of offsets that follow each other, the first and the last."""
    runs: list[tuple[Position, int]] = []
    for position in sorted(positions):
        if runs and runs[-1][0].partition == position.partition and runs[-1][1] + 1 == position.offset:
            runs[-1] = runs[-1][0], position.offset
        else:
            runs.append((position, position.offset))
    return [str(first) if first.offset == last else f"{first}-{last}" for first, last in runs]
