"""Commands without the seconds that imports take: each is forked from a process that has done them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.harness.conftest import PLUGIN

ROOT = Path(__file__).parents[2]
KILL = 0
"""In place of the number of an error: the process is killed."""


@dataclass(frozen=True)
class Ended:
    """How a command ended.

    Attributes
    ----------
    code
        Its exit code; negative for a signal.
    wall_s, cpu_s, peak_mb
        Times of the process, and the most memory that it had, with that of its imports.
    operations
        Number of operations that write or remove under the folder that faults are for; 0 without the layer of faults.
    """

    code: int
    out: str
    err: str
    wall_s: float
    cpu_s: float
    peak_mb: float
    operations: int

    @property
    def killed(self) -> bool:
        return self.code == -9


class Warm:
    """Runs commands, one at a time; made by :func:`warm`.

    Parameters
    ----------
    process
        The server.
    folder
        For what commands print.
    faults
        Whether the layer of faults is loaded.
    """

    def __init__(self, process: subprocess.Popen[str], folder: Path, faults: bool) -> None:
        self._process, self._folder, self.faults = process, folder, faults

    def call(
        self,
        words: Sequence[object],
        folder: Path,
        *,
        seconds: float = 120.0,
        at: int = 0,
        number: int = KILL,
        stays: bool = False,
        environment: Mapping[str, str] | None = None,
        before: str = "",
        here: bool = True,
    ) -> Ended:
        """Run a command to its end.

        Parameters
        ----------
        folder
            Where it runs, and where its faults happen.
        seconds
            It is killed after that time.
        at, number, stays
            The operation that fails (from 1; 0: none), with which error of the system, and whether all later ones do.
        environment
            Variables beside those of this process.
        before
            MODULE:FUNCTION that is called first.
        here
            Compute runs and trials in the process of the command.
        """
        places = {name: str(self._folder / name) for name in ("out", "err", "count")}
        for place in places.values():
            Path(place).unlink(missing_ok=True)
        request = {
            **places,
            "words": [str(word) for word in words],
            "folder": str(folder),
            "target": str(folder),
            "seconds": seconds,
            "fault": [at, number, int(stays)],
            "armed": self.faults,
            "environment": {"MFBENCH_FAKE_LOG": str(self._folder / "steps.log"), **(environment or {})},
            "before": before,
            "here": here,
        }
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline())
        out, err, count = (Path(p).read_text(errors="replace") if Path(p).exists() else "" for p in places.values())
        return Ended(**answer, out=out, err=err, operations=int(count or 0))


@contextmanager
def warm(folder: Path, *, faults: bool = False) -> Iterator[Warm]:
    """Start a server; its commands know the fakes.

    Parameters
    ----------
    folder
        Of its own.
    faults
        Load the layer of faults, if a C compiler is found.
    """
    more = {"PYTHONPATH": os.pathsep.join([str(PLUGIN), str(ROOT)]), "OMP_NUM_THREADS": "1", "COLUMNS": "200"}
    library = compiled(folder) if faults else None
    if library is not None:
        more["LD_PRELOAD"] = str(library)
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.reliability.serve"],
        env=os.environ | more,
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield Warm(process, folder, library is not None)
    finally:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.close()
        process.stdout.close()
        process.wait(timeout=60)


def compiled(folder: Path) -> Path | None:
    """The layer of faults as a library, None where there is no C compiler or no Linux."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None or not sys.platform.startswith("linux"):
        return None
    library, source = folder / "faults.so", Path(__file__).with_name("faults.c")
    command = [compiler, "-shared", "-fPIC", "-O1", "-o", str(library), str(source), "-ldl"]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    return library
