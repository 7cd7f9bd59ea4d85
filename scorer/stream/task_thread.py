"""A thread for calls into librdkafka that may hang there: the caller waits with a limit."""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Generic, TypeVar

T = TypeVar("T")


class TaskThread(Generic[T]):
    """Runs tasks one after another; a daemon, so that one that hangs inside C does not keep the process alive."""

    def __init__(self, name: str) -> None:
        """Starts the thread.

        Args:
            name: its name, for dumps of stacks.
        """
        self._tasks: SimpleQueue[tuple[Future[T], Callable[[], T]] | None] = SimpleQueue()
        threading.Thread(target=self._run, name=name, daemon=True).start()

    def submit(self, task: Callable[[], T]) -> Future[T]:
        """Runs a task after the earlier ones have ended."""
        future: Future[T] = Future()
        self._tasks.put((future, task))
        return future

    def close(self) -> None:
        """Ends the thread after the current task; does not wait for it."""
        self._tasks.put(None)

    def _run(self) -> None:
        while (submitted := self._tasks.get()) is not None:
            future, task = submitted
            try:
                future.set_result(task())
            except BaseException as failure:  # noqa: BLE001  (raised where the result is awaited)
                future.set_exception(failure)
