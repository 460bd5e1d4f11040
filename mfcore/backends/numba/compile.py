"""Compiles generated Python by numba and keeps what numba has compiled in the user's cache folder.

A kernel has a folder KERNELS/<name>/: the module's text, the files that numba writes beside it, and their sums. It is
compiled in a temporary folder, which is then renamed; one whose sums are not right, or that another user may have
written, is compiled again: numba would load and run its files as they are.
"""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
import sys
import tempfile
from functools import cache
from pathlib import Path

from mfbench.mfcore.backends.cache import BUILD, kernel_folder, module_of, objection, sweep_builds
from mfbench.mfcore.backends.protocol import KernelsUnavailable
from mfbench.mfcore.errors import StorageError
from mfbench.mfcore.files import rename_folder, sha256_of, write_text

_log = logging.getLogger("mfbench")
_SUMS = "sha256.json"
_SOURCES = (
    "backends/ir.py",
    "backends/numba/convolution.py",
    "backends/numba/geometry.py",
    "backends/numba/vectors.py",
    "ops/convolution/instructions.py",
    "ops/geometry/harmonics.py",
)


@cache
def _generators() -> str:
    import llvmlite
    import numba

    texts = [(Path(__file__).parents[2] / name).read_text() for name in _SOURCES]
    return "\n".join([numba.__version__, llvmlite.__version__, *texts])


def load(source: str) -> int:
    """Address of the kernel in a generated module; numba keeps the compiled code beside the module's file.

    Raises
    ------
    KernelsUnavailable
        If it cannot be compiled or written.
    """
    name = f"mfbench_{hashlib.sha256((source + _generators()).encode()).hexdigest()[:32]}"
    try:
        folder = kernel_folder() / name
        reason = _objection(folder)
        if folder.exists() and reason is None:
            return _address(name, source, folder)
        if folder.exists():
            _log.warning("%s; it is compiled again.", reason)
            shutil.rmtree(folder)
        _log.info("compiling a convolution kernel by numba (once; kept in %s)", folder)
        return _compile(name, source, folder)
    except Exception as error:  # numba raises many kinds
        raise KernelsUnavailable(f"numba failed: {' '.join(str(error).split())[:500]}.") from error


def _address(name: str, source: str, folder: Path) -> int:
    """Address of the kernel of a module; what numba has compiled lies in the module's folder."""
    module, loader = module_of(name, source, folder / f"{name}.py")
    sys.modules[name] = module  # where numba looks for it when it loads compiled code
    loader.exec_module(module)
    address: int = module.kernel.address
    return address


def _compile(name: str, source: str, folder: Path) -> int:
    sweep_builds(folder.parent)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=BUILD) as build:
        made = Path(build) / name
        write_text(made / f"{name}.py", source)
        address = _address(name, source, made)
        write_text(made / _SUMS, json.dumps(_sums(made)))
        made.chmod(0o700)
        try:
            rename_folder(made, folder)
        except StorageError as error:
            if not folder.exists():  # another process was first otherwise
                _log.warning("a kernel is not kept: %s", error)
    return address


def _sums(folder: Path) -> dict[str, str]:
    """By relative name, the sha256 of the files of a kernel; they are made to be its owner's alone to write."""
    found = {}
    for path in sorted(folder.rglob("*")):
        path.chmod(0o700 if path.is_dir() else 0o600)
        if path.is_file():
            found[path.relative_to(folder).as_posix()] = sha256_of(path)
    return found


def _objection(folder: Path) -> str | None:
    """The reason why the files of a kernel must not be loaded, or None."""
    try:
        files = sorted(folder.rglob("*"))
        for path in (folder, *files):
            reason = objection(path)
            if reason is not None:
                return reason
        given = json.loads((folder / _SUMS).read_text(encoding="utf-8"))
        found = {p.relative_to(folder).as_posix(): sha256_of(p) for p in files if p.is_file() and p.name != _SUMS}
    except (OSError, ValueError, RecursionError):
        given, found = None, {}
    return None if given == found else f"{folder} is damaged: its files are not those that were written"
