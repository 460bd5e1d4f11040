"""The folder of compiled kernels. They are code: nobody else may be able to write them, none is loaded unchecked."""

from __future__ import annotations

import logging
import os
import shutil
import stat
import tempfile
import time
from functools import cache
from importlib.abc import InspectLoader
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import CodeType, ModuleType

import platformdirs

_log = logging.getLogger("mfbench")
BUILD = ".build-"
"""The beginning of names of folders that kernels are compiled in."""
_LONGEST_BUILD_S = 3000
_OTHERS_MAY_WRITE = stat.S_IWGRP | stat.S_IWOTH


def cache_root() -> Path:
    """$MFBENCH_CACHE, or the user's cache folder."""
    root = os.environ.get("MFBENCH_CACHE")
    return Path(root) if root else platformdirs.user_cache_path("mfbench")


def cache_directory() -> Path:
    """The folder of kernels in :func:`cache_root`."""
    return cache_root() / "kernels"


def objection(path: Path) -> str | None:
    """The reason why a file or folder may be another one's work, or None: it is this user's, who alone may write it."""
    found = path.stat()
    if found.st_uid != os.geteuid():
        return f"{path} is owned by another user"
    if found.st_mode & _OTHERS_MAY_WRITE:
        return f"{path} may be written to by others than its owner"
    return None


def obstacle(folder: Path) -> str | None:
    """The reason why a folder, which is made if need be, is not to keep things in that are trusted, or None."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.mkdir(mode=0o700, exist_ok=True)
        root = folder.parent.stat()
        if root.st_mode & stat.S_IWOTH and not root.st_mode & stat.S_ISVTX:
            return f"everybody may write to {folder.parent}"
        if root.st_uid not in (os.geteuid(), 0):
            return f"{folder.parent} is owned by another user"
        with tempfile.TemporaryFile(dir=folder):  # full or read-only disks show here
            pass
        return objection(folder)
    except OSError as error:
        return f"{folder} cannot be used ({error.strerror or error})"


def kernel_folder() -> Path:
    """The folder to keep kernels in: :func:`cache_directory` if it can be trusted and written, else a temporary one.

    Raises
    ------
    OSError
        If not even that can be made.
    """
    return _checked(cache_directory())


@cache
def _checked(wanted: Path) -> Path:
    reason = obstacle(wanted)
    if reason is None:
        return wanted
    private = Path(tempfile.gettempdir()) / f"mfbench-{os.geteuid()}" / "kernels"
    if obstacle(private) is not None or objection(private.parent) is not None:
        private = Path(tempfile.mkdtemp(prefix="mfbench-kernels-"))
    _log.warning("kernels are kept in %s, because %s.", private, reason)
    return private


def sweep_builds(folder: Path) -> None:
    """Remove what killed compilers have left in the folder of kernels: no compilation takes so long."""
    for left in (*folder.glob(f"{BUILD}*"), *folder.glob(".*.mfbench-*")):
        try:
            if time.time() - left.stat().st_mtime < _LONGEST_BUILD_S:
                continue
            if left.is_dir():
                shutil.rmtree(left, ignore_errors=True)
            else:
                left.unlink()
        except OSError:  # another process was first
            continue


class _Text(InspectLoader):
    """Loader of a module whose text is known: compiled files beside it are neither read nor written."""

    def __init__(self, text: str, path: Path) -> None:
        self._text, self._path = text, path

    def get_source(self, fullname: str) -> str:
        return self._text

    def get_code(self, fullname: str) -> CodeType:
        return self.source_to_code(self._text, str(self._path))


def module_of(name: str, text: str, path: Path) -> tuple[ModuleType, InspectLoader]:
    """An empty module of generated source, which lies in `path` too, and the loader that executes it."""
    loader = _Text(text, path)
    specification = spec_from_file_location(name, path, loader=loader)
    assert specification is not None
    return module_from_spec(specification), loader
