"""Run keys: a hash of all that decides a run's numbers. A finished run is known by it and never repeated."""

from __future__ import annotations

import inspect
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from mfbench.benchmarks.observables.base import Observable
from mfbench.mfcore.errors import ConfigError
from mfbench.mfcore.provenance import canonical_json, digest, source_hash

__all__ = ["canonical_json", "code_hash", "digest", "observable_hash", "source_hash"]


def _package_folder(package: str) -> Path:
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(f"package '{package}' is not installed")
    return Path(spec.origin).parent


@cache
def code_hash(task_class: type, arm: type, core: type | None = None) -> str:
    """Hash of the code that computes a run: mfcore, strategies, the task, and an arm or a core of another package.

    The harness and the reports are left out: they move numbers, they do not make them. So are observables, see
    :func:`observable_hash`.
    """
    mfcore, strategies = _package_folder("mfbench.mfcore"), _package_folder("mfbench.strategies")
    task_file = Path(inspect.getfile(task_class))
    paths = {mfcore, strategies, task_file}
    tasks = _package_folder("mfbench.benchmarks.tasks")
    if tasks in task_file.parents:
        paths.update(tasks.glob("*.py"))
        paths.update(task_file.parent.glob("*.py"))
    arm_file = Path(inspect.getfile(arm))
    if strategies not in arm_file.parents:
        paths.add(arm_file)
    if core is not None and mfcore not in Path(inspect.getfile(core)).parents:
        core_file = Path(inspect.getfile(core))
        paths.add(core_file.parent if (core_file.parent / "__init__.py").exists() else core_file)
    return source_hash(paths)


@cache
def observable_hash(observable: type[Observable[Any]]) -> str:
    """Hash of the code of an observable: the file of its class, and the sources that it declares."""
    paths = {Path(inspect.getfile(observable))}
    for module in observable.sources:
        spec = find_spec(module)
        if spec is None or spec.origin is None:
            raise ConfigError(f"observable '{observable.name}': its source '{module}' is no module that is installed.")
        origin = Path(spec.origin)
        paths.add(origin.parent if origin.name == "__init__.py" else origin)
    return source_hash(paths)
