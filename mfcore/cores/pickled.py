"""Checkpoints of other packages, which are pickles: read once where they may be, and kept in a form without code."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from torch import Tensor

from mfbench.mfcore.backends.cache import kernel_folder, objection
from mfbench.mfcore.errors import ConfigError, DataError
from mfbench.mfcore.training.checkpoint import load_tensors, save_tensors

Content = tuple[dict[str, Tensor], dict[str, Any]]
"""Tensors by name, and all else as JSON values."""


def content_of(path: Path, core: str, package: str, unpickle: Callable[[Path], Content]) -> Content:
    """Return tensors and description of a checkpoint, without executing what a file from elsewhere may hold.

    A file that the core's own package has installed is unpickled; of another one, what :func:`trust` has kept is read.

    Parameters
    ----------
    core, package
        Names of the core and of the package that its network comes from.
    unpickle
        Reads the file.

    Raises
    ------
    ConfigError
        If it would have to be unpickled, and nobody has said that it may be, or if others could have written what is
        kept of it.
    DataError
        If it cannot be read.
    """
    stat = path.stat()
    return _content_of(path.resolve(), stat.st_mtime_ns, stat.st_size, core, package, unpickle)


@lru_cache(maxsize=8)
def _content_of(
    path: Path, changed: int, size: int, core: str, package: str, unpickle: Callable[[Path], Content]
) -> Content:
    kept = _kept(path, core)
    if kept.exists():
        if reason := objection(kept.parent) or objection(kept):
            raise ConfigError(f"{reason}: what is kept there of {path} is not trusted; delete it, and trust it again.")
        tensors, header = load_tensors(kept)
        return tensors, header["description"]
    if not _is_of_package(path, package):
        raise ConfigError(
            f"core '{core}', key 'checkpoint': {path} is a pickle, and reading one executes the code in it. Give "
            "--trust-checkpoint if you trust whoever made it: it is then read once and kept without code."
        )
    return _read(path, core, unpickle)


def trust(path: Path, core: str, unpickle: Callable[[Path], Content]) -> None:
    """Unpickle a checkpoint, and keep its contents in the user's cache, by the hash of the file.

    Raises
    ------
    DataError
        If it cannot be read.
    """
    kept = _kept(path, core)
    if kept.exists():
        return
    tensors, description = _read(path, core, unpickle)
    kept.parent.mkdir(mode=0o700, exist_ok=True)
    save_tensors(kept, tensors, {"description": description})
    _content_of.cache_clear()


def _read(path: Path, core: str, unpickle: Callable[[Path], Content]) -> Content:
    try:
        return unpickle(path)
    except Exception as error:  # a pickle may raise anything
        reason = " ".join(str(error).split())[:200]
        raise DataError(
            f"not a checkpoint that core '{core}' can read ({type(error).__name__}: {reason}).",
            file=path,
            hint="Give one that its own package has written.",
        ) from error


def _kept(path: Path, core: str) -> Path:
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    return kernel_folder().parent / "checkpoints" / f"{core}-{found[:40]}.safetensors"


def _is_of_package(path: Path, package: str) -> bool:
    spec = find_spec(package)
    return spec is not None and spec.origin is not None and Path(spec.origin).resolve().parent in path.resolve().parents
