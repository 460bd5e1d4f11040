"""The other end of a :class:`~mfbench.benchmarks.performance.harness.process.Worker`.

The process is run as ``PYTHON -m MODULE JOB.json``, since peers set the default dtype, fusers, threads and seeds of
theirs. It answers one JSON line for each that it reads; standard output carries nothing but answers.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

#: Answers a request.
Handler = Callable[[dict[str, Any]], dict[str, Any]]


def serve(build: Callable[[dict[str, Any]], tuple[dict[str, Any], Handler]]) -> None:
    """Build, describe the contender, and answer until there are no more requests.

    Parameters
    ----------
    build
        Given the job; returns the description and the function that answers requests.
    """
    warnings.filterwarnings("ignore")  # the peers' own deprecations
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what packages print goes to standard error

    def send(values: dict[str, Any]) -> None:
        out.write(json.dumps(values) + "\n")
        out.flush()

    about, answer = build(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))
    send(about)
    for line in sys.stdin:
        send(answer(json.loads(line)))
        gc.collect()  # while others have their turns, since a warm contender collects nothing itself
