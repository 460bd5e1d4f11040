"""Compiles generated C++ once, and keeps the libraries in the user's cache folder.

A library's name is a hash of all that makes it (the code's inputs, the generators, the compiler with its version, its
flags, and the CPU), and the sha256 of its content. It is written under a temporary name and renamed, so that processes
cannot meet a half-written one; one that is damaged, or that another user may have written, is not opened but compiled
again, since a damaged library would end the process that loads it.
"""

from __future__ import annotations

import ctypes
import hashlib
import logging
import os
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from functools import cache
from importlib.metadata import version
from pathlib import Path

import torch

from mfbench.mfcore.backends.cache import BUILD, kernel_folder, objection, sweep_builds
from mfbench.mfcore.backends.protocol import KernelsUnavailable
from mfbench.mfcore.files import sha256_of, sync

_log = logging.getLogger("mfbench")

# NaN, infinities and subnormals keep their meaning: none of the -ffast-math flags that give them up, and nothing at
# link time, where -ffast-math would make the whole process flush subnormals.
_FLAGS = (
    "-std=gnu++17",
    "-O3",
    "-fPIC",
    "-ffp-contract=fast",
    "-fno-math-errno",
    "-fno-trapping-math",
    "-fno-signed-zeros",
)
_TIMEOUT_S = 300


@cache
def compiler() -> tuple[str, str] | None:
    """Path and version line of the C++ compiler, $CXX or the first of g++, c++, clang++; None without one."""
    for name in (os.environ.get("CXX"), "g++", "c++", "clang++"):
        path = shutil.which(name) if name else None
        if path is None:
            continue
        try:
            done = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=30, check=True)
        except (OSError, subprocess.SubprocessError):
            continue
        return path, done.stdout.splitlines()[0] if done.stdout else path
    return None


@cache
def _cpu() -> str:
    """Everything that -march=native depends on."""
    lines = [platform.machine(), platform.processor()]
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if not line.strip():
                break
            if line.split(":")[0].strip() in ("model name", "flags", "Features", "CPU part"):
                lines.append(line)
    except OSError:
        pass
    return "\n".join(lines)


@cache
def _generators() -> str:
    """Text of the modules that write the code, and the version of the library that its numbers come from."""
    core = Path(__file__).parents[2]
    shared = [
        core / name for name in ("backends/ir.py", "ops/convolution/instructions.py", "ops/geometry/harmonics.py")
    ]
    own = Path(__file__).parent
    files = [*shared, *sorted(own.glob("*.py")), *sorted(own.glob("templates/*"))]
    return "\n".join([*(path.read_text() for path in files), version("e3nn")])


def _share_openmp() -> None:
    """Make torch's own OpenMP runtime visible, so that there is one team of threads and not two that compete."""
    folder = Path(torch.__file__).parent
    found = [*sorted(folder.glob("lib/libgomp*.so*")), *sorted(folder.parent.glob("torch.libs/libgomp*.so*"))]
    for name in [*map(str, found), "libgomp.so.1"]:
        try:
            ctypes.CDLL(name, ctypes.RTLD_GLOBAL)
        except OSError:
            continue
        return


def _compile(path: str, source: str, folder: Path, name: str) -> Path:
    """Compile `source` with OpenMP, or else without; the library is `folder` / NAME-SHA256.so."""
    with tempfile.TemporaryDirectory(dir=folder, prefix=BUILD) as build:
        code, binary, library = (Path(build) / name for name in ("kernel.cpp", "kernel.o", "kernel.so"))
        code.write_text(source)
        error = ""
        # linked without -fopenmp: the runtime is the one that torch has loaded
        for flags in (["-march=native", "-fopenmp"], ["-march=native"], []):
            commands = (
                [path, *_FLAGS, *flags, "-c", str(code), "-o", str(binary)],
                [path, "-shared", str(binary), "-o", str(library)],
            )
            try:
                for command in commands:
                    subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT_S, check=True)
                if "-fopenmp" in flags:
                    _share_openmp()
                ctypes.CDLL(str(library))  # undefined symbols show here
            except subprocess.CalledProcessError as failure:
                error = error or failure.stderr.strip()[:500]
            except (OSError, subprocess.SubprocessError) as failure:
                error = error or str(failure)[:500]
            else:
                target = folder / f"{name}-{sha256_of(library)}.so"
                library.chmod(0o600)
                sync(library)
                os.replace(library, target)
                return target
    raise KernelsUnavailable(f"{path} failed: {error}")


def _sound(library: Path) -> str | None:
    """The reason why a library of the cache must not be opened, or None."""
    reason = objection(library)
    if reason is None and sha256_of(library) != library.stem.rpartition("-")[2]:
        reason = f"{library} is damaged: its sha256 is not the one in its name"
    return reason


def _kept(folder: Path, name: str) -> ctypes.CDLL | None:
    """The library of this name from the cache; None if there is none that is sound."""
    for library in sorted(folder.glob(f"{name}-*.so")):
        reason = _sound(library)
        if reason is None:
            try:
                return ctypes.CDLL(str(library))
            except OSError as failure:  # made with another OpenMP runtime than this process has
                reason = f"{library} cannot be loaded ({failure})"
        _log.warning("%s; it is compiled again.", reason)
        library.unlink(missing_ok=True)
    return None


def load_library(key: str, source: Callable[[], str]) -> ctypes.CDLL:
    """The library of some generated code, compiled if it is not in the cache.

    Parameters
    ----------
    key
        The inputs that `source` depends on beside the generators themselves.
    source
        Writes the code; called only if it has to be compiled.

    Raises
    ------
    KernelsUnavailable
        If there is no compiler, or compiling or loading fails.
    """
    found = compiler()
    if found is None:
        raise KernelsUnavailable("no C++ compiler was found (g++, c++ or clang++ on the PATH, or $CXX).")
    text = "\n".join([key, _generators(), " ".join(_FLAGS), *found, _cpu()])
    name = hashlib.sha256(text.encode()).hexdigest()[:32]
    try:
        folder = kernel_folder()
        _share_openmp()
        kept = _kept(folder, name)
        if kept is not None:
            return kept
        _log.info("compiling a convolution kernel (once; kept in %s)", folder)
        sweep_builds(folder)
        return ctypes.CDLL(str(_compile(found[0], source(), folder, name)))
    except OSError as failure:
        raise KernelsUnavailable(f"the kernel cache cannot be used: {failure}") from None
