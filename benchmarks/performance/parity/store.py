"""The results file: finished runs by key, so that nothing is trained twice."""

from __future__ import annotations

import ast
import hashlib
import json
from pathlib import Path
from typing import Any

from mfbench.benchmarks.performance.contenders.base import contender_type
from mfbench.benchmarks.performance.parity.settings import Job
from mfbench.mfcore.errors import DataError
from mfbench.mfcore.files import write_text

_ROOT = Path(__file__).resolve().parents[3]

#: What decides a result beside the contender's own module and package. (How a result is stored or shown does not.)
_SHARED_SOURCES = (
    "benchmarks/performance/contenders/base.py",
    "benchmarks/performance/parity/training.py",
)
_CORE_SOURCES = (
    "mfcore/backends",
    "mfcore/cores",
    "mfcore/ops",
    "mfcore/data/graphs.py",
    "mfcore/data/reference_energies.py",
)


def _meaning(path: Path) -> str:
    """Return the syntax tree of a module without docstrings: comments and layout do not make another run."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
        if isinstance(node, documented) and ast.get_docstring(node, clean=False) is not None:
            del node.body[0]
    return ast.dump(tree)


def code_hash(contender: str) -> str:
    """Return the sha256 of the sources that decide a contender's result, docstrings and comments left out."""
    own = contender_type(contender).__module__.removeprefix("mfbench.").replace(".", "/") + ".py"
    names = [*_SHARED_SOURCES, own, *(_CORE_SOURCES if contender == "mfcore" else ())]
    paths = [p for name in names for p in (sorted((_ROOT / name).rglob("*.py")) or [_ROOT / name])]
    return hashlib.sha256("\0".join(_meaning(p) for p in paths).encode()).hexdigest()


def run_key(job: Job, data_sha256: str) -> str:
    """Return the sha256 of everything that decides a run's result, the versions of packages excepted."""
    content = {"job": job.as_dict(), "data": data_sha256, "code": code_hash(job.contender)}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def read_runs(path: Path) -> dict[str, dict[str, Any]]:
    """Read the runs of a results file by key; {} if there is none.

    Raises
    ------
    DataError
        If the file is not such a file.
    """
    if not path.exists():
        return {}
    try:
        return {run["key"]: run for run in json.loads(path.read_text(encoding="utf-8"))["runs"]}
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"not a parity results file ({error}).", file=path, hint="Give another --out, or delete it."
        ) from None


def add_run(path: Path, run: dict[str, Any]) -> None:
    """Add a run to a results file, or replace the one of its key; a cut never leaves half a file."""
    runs = read_runs(path) | {run["key"]: run}
    write_text(path, json.dumps({"runs": list(runs.values())}, indent=1) + "\n")
