"""Signals that ask a command to end: it ends as after Ctrl-C, with its workers, its message and what it has stored."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

ASKING = (signal.SIGTERM, signal.SIGHUP)


class Stopped(KeyboardInterrupt):
    """Raised in place of the sudden end; carries the signal."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = signal.Signals(number)


@contextmanager
def stopping() -> Iterator[None]:
    """Raise `Stopped` at SIGTERM and SIGHUP; a second one ends the process at once.

    A signal that is ignored (as under nohup) or handled already stays so, and threads cannot change it.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handled = [number for number in ASKING if signal.getsignal(number) is signal.SIG_DFL]

    def stop(number: int, frame: FrameType | None) -> None:
        for other in handled:
            signal.signal(other, signal.SIG_DFL)
        raise Stopped(number)

    for number in handled:
        signal.signal(number, stop)
    try:
        yield
    finally:
        for number in handled:
            signal.signal(number, signal.SIG_DFL)
