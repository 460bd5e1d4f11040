"""Contenders in processes of their own, which are asked for one measurement at a time."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol, TextIO, cast

from mfbench.benchmarks.performance.speed.settings import Job

_ROOT = Path(__file__).resolve().parents[3]
_SHOWN = 300
_PATIENCE_S = 20.0


class WorkerFailed(Exception):
    """A contender's process ended; the message is the last that it said."""


class Answering(Protocol):
    """What measurements are asked of."""

    def ask(self, **request: Any) -> dict[str, Any]:
        """Answer one request, see :mod:`mfbench.benchmarks.performance.speed.worker`. Raises WorkerFailed."""


def environment(threads: int) -> dict[str, str]:
    """Variables of a worker's process."""
    from platformdirs import user_cache_path

    paths = [str(_ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(paths),
        "OMP_NUM_THREADS": str(threads),
        "OMP_WAIT_POLICY": "PASSIVE",  # a team that spins for ever would take the other contender's time
        # but one that sleeps at once is slower than one thread; see "More threads than one" in the README
        **({"GOMP_SPINCOUNT": "10000"} if threads > 1 else {}),
        # a compiled network is kept, and runs with the threads of the moment
        "TORCHINDUCTOR_CACHE_DIR": str(user_cache_path("mfbench") / "inductor"),
        "TORCHINDUCTOR_CPP_DYNAMIC_THREADS": "1" if threads > 1 else "0",
        # e3nn below 0.5 reads its constants with torch.load, which newer torch refuses by default
        "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD": "1",
    }


class Worker:
    """A process with one contender; it is built when this is made, which may take minutes.

    Parameters
    ----------
    job
        What to build.
    python
        Interpreter in which the contender's package is installed.

    Attributes
    ----------
    about
        What the worker said of the contender: parameters, versions, time to build.

    Raises
    ------
    WorkerFailed
        If it could not be built.
    """

    def __init__(self, job: Job, python: str) -> None:
        self._folder = tempfile.TemporaryDirectory()
        job_file, self._log = Path(self._folder.name, "job.json"), Path(self._folder.name, "log")
        job_file.write_text(json.dumps(job.as_dict()), encoding="utf-8")
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [python, "-m", "mfbench.benchmarks.performance.speed.worker", str(job_file)],
                env=environment(job.threads),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        self._in, self._out = cast(TextIO, self._process.stdin), cast(TextIO, self._process.stdout)
        try:
            self.about = self._answer()
        except BaseException:
            self.close()
            raise
        del self.about["ready"]

    def ask(self, **request: Any) -> dict[str, Any]:
        """See :class:`Answering`."""
        with contextlib.suppress(OSError):  # it has ended; the answer says why
            self._in.write(json.dumps(request) + "\n")
            self._in.flush()
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        line = self._out.readline()
        if line:
            answer: dict[str, Any] = json.loads(line)
            return answer
        code = self._process.wait()
        said = self._log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        reason = said[-1][:_SHOWN] if said else "it said nothing"
        raise WorkerFailed(f"killed by signal {-code} (out of memory?)" if code < 0 else reason)

    def close(self) -> None:
        """End the process."""
        with contextlib.suppress(OSError):
            self._in.close()
        try:
            self._process.wait(_PATIENCE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._out.close()
        self._folder.cleanup()


def interpreters(given: list[str], names: list[str], peers: list[str]) -> Mapping[str, str]:
    """Read ``PATH`` (every peer's Python) and ``NAME=PATH`` (one contender's) into Python by contender.

    Raises
    ------
    ConfigError
        If a name is no contender or a path is no file.
    """
    from mfbench.mfcore.errors import ConfigError

    found: dict[str, str] = {}
    for entry in sorted(given, key=lambda e: "=" in e):  # a named one wins over the common one
        name, _, path = entry.rpartition("=")
        if name and name not in names:
            raise ConfigError(f"--python {entry}: no contender '{name}'; there are {', '.join(names)}.")
        if not Path(path).is_file():
            raise ConfigError(f"--python {entry}: '{path}' is not a Python interpreter.")
        # not resolved: a virtual environment is recognised by the path of its link
        found.update(dict.fromkeys([name] if name else peers, str(Path(path).absolute())))
    return found
