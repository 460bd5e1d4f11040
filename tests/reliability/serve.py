"""A process that has imported all that commands need, and forks one that runs a command for each line that it reads.

A line is a request in JSON, and so is the answer; see `tests.reliability.warm`.
"""

from __future__ import annotations

import ctypes
import json
import os
import select
import signal
import sys
import time
from contextlib import suppress
from importlib import import_module
from typing import Any

MODULES = (
    "ase.io",
    "jinja2",
    "lightning_fabric",
    "matplotlib.backends.backend_agg",
    "matplotlib.backends.backend_pdf",
    "matplotlib.backends.backend_svg",
    "mfbench.benchmarks.cli.main",
    "mfbench.benchmarks.harness.execute",
    "mfbench.benchmarks.harness.executors.factory",
    "mfbench.benchmarks.harness.runner",
    "mfbench.benchmarks.harness.user_data",
    "mfbench.benchmarks.regression.history",
    "mfbench.benchmarks.regression.measure",
    "mfbench.benchmarks.reports.figures",
    "mfbench.benchmarks.reports.html.page",
    "mfbench.benchmarks.tuning.study",
    "mfbench.mfcore.potentials.potential",
    "optuna",
    "pandas.io.formats.csvs",
    "plotly",
    "pyarrow.dataset",
    "pyarrow.pandas_compat",
    "pyarrow.parquet",
    "rich.progress",
    "scipy.stats",
    "torch",
    "vesin",
)


def run(request: dict[str, Any]) -> int:
    """Run a command, or a function of the tests, in this process: its exit code."""
    from mfbench.benchmarks.cli.main import app
    from mfbench.benchmarks.harness.executors import factory
    from mfbench.benchmarks.harness.executors.local import LocalExecutor

    for name in ("out", "err"):
        handle = os.open(request[name], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(handle, 1 if name == "out" else 2)
    os.environ.update(request["environment"])
    os.chdir(request["folder"])
    if request["here"]:
        factory.make_executor = lambda workers: LocalExecutor(0)
    module, _, function = request["before"].partition(":")
    if function:
        getattr(import_module(module), function)()
    faults = ctypes.CDLL(None) if request["armed"] else None
    if faults is not None:
        at, number, stays = request["fault"]
        faults.faults_arm(os.fsencode(request["target"]), ctypes.c_long(at), number, stays)
    try:
        app(request["words"])
    except SystemExit as end:
        return int(end.code or 0)
    finally:
        if faults is not None:
            count = faults.faults_count()
            faults.faults_arm(b"", ctypes.c_long(0), 0, 0)
            with open(request["count"], "w") as stream:
                stream.write(str(count))
    return 0


def fork(request: dict[str, Any]) -> dict[str, Any]:
    """Run a request in a process of its own, kill that after a time, and say how it ended."""
    started = time.monotonic()
    pid = os.fork()
    if not pid:
        code = 70
        try:
            os.setsid()
            code = run(request)
        except BaseException:
            import traceback

            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
    handle = os.pidfd_open(pid)
    ended, _, _ = select.select([handle], [], [], request["seconds"])
    if not ended:
        os.kill(pid, signal.SIGKILL)
    os.close(handle)
    _, status, usage = os.wait4(pid, 0)
    return {
        "code": os.waitstatus_to_exitcode(status),
        "wall_s": time.monotonic() - started,
        "cpu_s": usage.ru_utime + usage.ru_stime,
        "peak_mb": usage.ru_maxrss / 1024,
    }


def prepare() -> None:
    """Import what commands need, and look up what is installed; no thread is started by that."""
    from typer.main import get_command

    for name in MODULES:
        import_module(name)
    with suppress(ImportError):
        import_module("numba.core.registry")
    from mfbench.benchmarks.cli.main import app
    from mfbench.benchmarks.harness.columns import detail_types
    from mfbench.benchmarks.harness.execute import versions
    from mfbench.benchmarks.reports.metrics import metrics, report_sections
    from mfbench.strategies.registry import arm_names

    get_command(app)
    for function in (arm_names, detail_types, metrics, report_sections, versions):
        function()


def main() -> None:
    """Serve until the input ends."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    prepare()
    for line in sys.stdin:
        answers.write(json.dumps(fork(json.loads(line))) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
