"""A worker for tests: it answers what it is told to, says things, and ends as it is asked to."""

from __future__ import annotations

import os
import sys
from typing import Any

import mfbench
from mfbench.benchmarks.performance.harness.worker import Handler, serve


def build(job: dict[str, Any]) -> tuple[dict[str, Any], Handler]:
    if job.get("broken"):
        raise RuntimeError("it cannot be built")

    def answer(request: dict[str, Any]) -> dict[str, Any]:
        if request["what"] == "die":
            os.kill(os.getpid(), 9)
        if request["what"] == "end":
            sys.stderr.write("first words\nlast words\n")
            sys.exit(3)
        print("a package says something")  # noqa: T201
        return {"answer": request["what"] * 2}

    variables = {name: os.environ.get(name) for name in ("OMP_NUM_THREADS", "OMP_WAIT_POLICY", "GOMP_SPINCOUNT")}
    return {"job": job, "mfbench": os.path.realpath(mfbench.__file__), "variables": variables}, answer


if __name__ == "__main__":
    serve(build)
