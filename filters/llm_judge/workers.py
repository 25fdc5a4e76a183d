"""Work in threads, taken lazily, given as it is done; ends at once when its user does."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")
Value = TypeVar("Value")
_LOOK = 0.2  # seconds after which whoever waits looks whether it was interrupted
_PATIENCE = 1.0  # seconds that threads get to end, all together


def in_threads(
    work: Callable[[Item], Result],
    items: Iterator[Item],
    count: int,
    halted: threading.Event,
    end: Callable[[], None],
) -> Generator[Result]:
    """What `work` makes of the items, as it is done, by `count` threads.

    Items are taken in the caller's thread, at most twice `count` ahead of what was given. After
    `halted` no more are taken. `end` is called when nobody wants results any more: it must make
    all work under way end soon. What `work` raises is raised here.
    """
    inbox: SimpleQueue[tuple[Item] | None] = SimpleQueue()
    outbox: SimpleQueue[Result | _Raised] = SimpleQueue()
    threads: list[threading.Thread] = []
    under_way, room, more = 0, 2 * count, True

    def run() -> None:
        while (item := inbox.get()) is not None:
            try:
                outbox.put(work(item[0]))
            except BaseException as error:  # it belongs to whoever wants the result
                outbox.put(_Raised(error))

    try:
        while True:
            while more and under_way < room and not halted.is_set():
                try:
                    item = next(items)
                except StopIteration:
                    more = False
                    break
                if len(threads) < count:
                    threads.append(threading.Thread(target=run, daemon=True, name="judge"))
                    threads[-1].start()
                inbox.put((item,))
                under_way += 1
            if not under_way:
                return
            result = _taken(outbox)
            under_way -= 1
            if isinstance(result, _Raised):
                raise result.error
            yield result
    finally:
        if under_way:
            end()
        for _ in threads:
            inbox.put(None)
        for thread in threads:
            thread.join(_PATIENCE / len(threads))


def _taken(queue: SimpleQueue[Value]) -> Value:
    """The next of a queue. Wakes up now and then: a signal that comes just before a wait without
    an end is seen only after it."""
    while True:
        with suppress(Empty):
            return queue.get(timeout=_LOOK)


class _Raised:
    def __init__(self, error: BaseException) -> None:
        self.error = error
