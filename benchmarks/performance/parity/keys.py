"""Keys of finished trainings, so that nothing is trained twice and no code is taken for another."""

from __future__ import annotations

import ast
import hashlib
import json
from functools import cache
from pathlib import Path

from mfbench.benchmarks.performance.contenders.registry import CORE, trained_type
from mfbench.benchmarks.performance.parity.settings import Job

_ROOT = Path(__file__).resolve().parents[3]

#: Sources that decide a result beside the core's own folder and package, not those that store or show it.
_SHARED_SOURCES = (
    "benchmarks/performance/contenders/base.py",
    "benchmarks/performance/contenders/cores.py",
    "benchmarks/performance/parity/training.py",
    "mfcore/core.py",
    "mfcore/core_types.py",
    "mfcore/data/graphs.py",
    "mfcore/data/reference_energies.py",
)
_CORE_SOURCES = ("mfcore/backends", "mfcore/ops")
_PEER_SOURCES = ("mfcore/cores/peer.py", "mfcore/cores/edge_gradient.py", "mfcore/cores/fused_products.py")


def _meaning(path: Path) -> str:
    """Return the syntax tree of a module without docstrings: comments and layout do not make another run."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
        if isinstance(node, documented) and ast.get_docstring(node, clean=False) is not None:
            del node.body[0]
    return ast.dump(tree)


@cache
def code_hash(contender: str) -> str:
    """Return the sha256 of the sources that decide a contender's result, docstrings and comments left out."""
    kind = trained_type(contender)
    own = kind.__module__.removeprefix("mfbench.").replace(".", "/") + ".py"
    others = _CORE_SOURCES if contender == CORE else _PEER_SOURCES
    names = [*_SHARED_SOURCES, own, f"mfcore/cores/{kind.core_name}", *others]
    paths = [p for name in names for p in (sorted((_ROOT / name).rglob("*.py")) or [_ROOT / name])]
    return hashlib.sha256("\0".join(_meaning(p) for p in paths).encode()).hexdigest()


def run_key(job: Job, data_sha256: str) -> str:
    """Return the sha256 of everything that decides a run's result, the versions of packages excepted."""
    content = {"job": job.as_dict(), "data": data_sha256, "code": code_hash(job.contender)}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
