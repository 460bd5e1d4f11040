"""One case of a fuzz test: which errors it may end with, and how long and how large it may get."""

from __future__ import annotations

import resource
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

from mfbench.mfcore.errors import MfbenchError

MOST_SECONDS = 5.0
MOST_BYTES = 2**30
LONGEST_MESSAGE = 2000


class Watch:
    """Runs cases and counts how they ended; whatever is no error of the package fails the test."""

    def __init__(self) -> None:
        self.ends: Counter[str] = Counter()
        self.slowest = 0.0
        self._before = self._peak()

    def run(self, case: Callable[[], Any]) -> Any:
        """Give what a case gives, None if it was refused in a sentence."""
        begin, told = time.process_time(), "nothing to say"
        try:
            found, end = case(), "accepted"
        except MfbenchError as error:
            found, end, told = None, "refused", str(error)
        assert 10 < len(told) < LONGEST_MESSAGE, told[:300]
        spent = time.process_time() - begin
        self.ends[end] += 1
        self.slowest = max(self.slowest, spent)
        assert spent < MOST_SECONDS
        assert self.grown() < MOST_BYTES
        return found

    def grown(self) -> int:
        """Bytes by which the process's largest memory has grown since the start."""
        return self._peak() - self._before

    @staticmethod
    def _peak() -> int:
        return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    def __str__(self) -> str:
        counts = ", ".join(f"{n} {end}" for end, n in sorted(self.ends.items()))
        total = sum(self.ends.values())
        return f"{total} cases: {counts}; slowest {self.slowest:.2f} s, {self.grown() / 2**20:.0f} MB more"
