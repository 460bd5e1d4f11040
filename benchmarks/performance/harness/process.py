"""Contenders in processes of their own: each is built once, and then asked for one thing at a time."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, TextIO, cast

_SHOWN = 300
_PATIENCE_S = 20.0


class WorkerFailed(Exception):
    """A worker's process ended; the message is the last that it said.

    Attributes
    ----------
    signal
        That ended it; None if it ended itself.
    """

    def __init__(self, message: str, signal: int | None = None) -> None:
        super().__init__(message)
        self.signal = signal


class Answering(Protocol):
    """Anything that measurements are asked of."""

    def ask(self, **request: Any) -> dict[str, Any]:
        """Answer one request, see :mod:`mfbench.benchmarks.performance.harness.worker`. Raises WorkerFailed."""


def environment(threads: int, packages: Path) -> dict[str, str]:
    """Variables of a worker's process; `packages` is a folder in which it finds mfbench."""
    from platformdirs import user_cache_path

    paths = [str(packages), *filter(None, [os.environ.get("PYTHONPATH")])]
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
    }


class Worker:
    """A process with one contender; it is built when this is made, which may take minutes.

    Parameters
    ----------
    module
        That the process runs, see :func:`mfbench.benchmarks.performance.harness.worker.serve`.
    job
        Plain JSON values that it builds by.
    python
        Interpreter in which the contender's package is installed.
    threads
        Of the process.
    heard
        Let its messages through to standard error; else the last one is kept as the reason of a failure.

    Attributes
    ----------
    about
        The worker's description of the contender: parameters, versions, time to build.

    Raises
    ------
    WorkerFailed
        If it could not be built.
    """

    def __init__(self, module: str, job: Mapping[str, Any], python: str, threads: int, heard: bool = False) -> None:
        import mfbench

        self._python = python
        self._folder = tempfile.TemporaryDirectory()
        folder = Path(self._folder.name)
        # this mfbench alone: the folder that an installed one lies in has other versions of the peers' packages
        (folder / "packages").mkdir()
        (folder / "packages" / "mfbench").symlink_to(Path(mfbench.__file__).parent, target_is_directory=True)
        job_file, self._log = folder / "job.json", None if heard else folder / "log"
        job_file.write_text(json.dumps(job), encoding="utf-8")
        with contextlib.ExitStack() as stack:
            log = stack.enter_context(self._log.open("wb")) if self._log is not None else None
            self._process = subprocess.Popen(
                [python, "-m", module, str(job_file)],
                env=environment(threads, folder / "packages"),
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
        if code < 0:
            raise WorkerFailed(f"killed by signal {-code} (out of memory?)", -code)
        if self._log is None:
            raise WorkerFailed(f"'{self._python}' ended with exit code {code}; see its output")
        said = self._log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        raise WorkerFailed(said[-1][:_SHOWN] if said else "it said nothing")

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


def interpreters(given: Sequence[str], names: Sequence[str], peers: Sequence[str]) -> dict[str, str]:
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
