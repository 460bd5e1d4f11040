"""A grid of runs on workers that are killed, behind connections that are cut."""

from __future__ import annotations

import os
import random
import signal
import threading
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import pandas as pd
from distributed import Client

from mfbench.benchmarks.harness.prepare import PlannedRun
from mfbench.benchmarks.harness.store import PackedRun, RunStore
from tests.cluster.proxy import Proxy

TIMES = ["train_wall_s", "train_cpu_s", "inference_us_per_atom", "date"]


def numbers(store: RunStore) -> pd.DataFrame:
    """Rows without times, in one order."""
    rows = store.rows().drop(columns=TIMES)
    return rows.sort_values(["run_key", "split", "metric"]).reset_index(drop=True)


class Counted(RunStore):
    """A store that counts how often each run is stored."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.puts: Counter[str] = Counter()

    def put(self, run: PackedRun) -> None:
        self.puts[run.key] += 1
        super().put(run)


class Trouble:
    """A monitor that cuts the connection, and a thread that kills workers while they compute.

    Parameters
    ----------
    scheduler
        Its address, where it cannot be cut.
    proxy
        The connection of the command.
    kills, cuts
        Numbers of ended runs after which a worker is killed, at a random moment, and the connection cut.
    """

    def __init__(self, scheduler: str, proxy: Proxy, kills: Sequence[int], cuts: Sequence[int]) -> None:
        self._scheduler, self._proxy = scheduler, proxy
        self._cuts, self._kills, self._random = sorted(cuts), sorted(kills), random.Random(0)
        self._over, self._due = threading.Event(), threading.Semaphore(0)
        self.killed: list[int] = []
        self.cut = 0
        self.ends = 0
        self._thread = threading.Thread(target=self._kill, daemon=True)

    def __enter__(self) -> Trouble:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._over.set()
        self._due.release()
        self._thread.join()

    def _kill(self) -> None:
        with Client(self._scheduler, set_as_default=False) as client:
            while self._due.acquire() and not self._over.is_set():
                self._over.wait(self._random.uniform(0, 0.5))
                while not (self._over.is_set() or self._kill_one(client)):
                    self._over.wait(0.05)

    def _kill_one(self, client: Client) -> bool:
        """Kill a worker that computes a run, if there is one."""
        busy = [address for address, keys in client.processing().items() if keys]
        if not busy:
            return False
        found = client.run(os.getpid, workers=[self._random.choice(busy)], on_error="ignore")
        for pid in found.values():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
                self.killed.append(pid)
        return bool(found)

    def started(self, run: PlannedRun) -> None:
        pass

    def spent(self, run: PlannedRun, atom_gradients: float) -> None:
        pass

    def ended(self, run: PlannedRun, reason: str | None) -> None:
        self.ends += 1
        while self._kills and self.ends >= self._kills[0]:
            self._kills.pop(0)
            self._due.release()
        if self._cuts and self.ends >= self._cuts[0]:
            self._cuts.pop(0)
            self.cut += bool(self._proxy.cut())
