"""Time and peak memory of a call, and where they were measured."""

from __future__ import annotations

import contextlib
import ctypes
import os
import platform
import resource
import sys
import time
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NamedTuple

_CLEAR_PEAK = "5"  # proc(5), /proc/pid/clear_refs: reset the peak resident set size


class Spent(NamedTuple):
    """Seconds that something took: of the wall clock, and of the processor in all threads of this process.

    Attributes
    ----------
    system_s
        The part of `cpu_s` that the system took, mostly to map and clear memory.
    """

    wall_s: float
    cpu_s: float
    system_s: float = 0.0


def spent(call: Callable[[], Any]) -> Spent:
    """Time one call."""
    wall, cpu, system = time.perf_counter(), time.process_time(), os.times().system
    call()
    return Spent(time.perf_counter() - wall, time.process_time() - cpu, os.times().system - system)


def mean_spent(call: Callable[[], Any], at_least_s: float, most: int = 1000) -> tuple[Spent, int]:
    """Mean over as many calls as fill some time.

    The caller has warmed it up; but others had the caches meanwhile, so a call that is short beside `at_least_s` is
    made once before the clock starts.

    Parameters
    ----------
    call
        To time.
    at_least_s
        Wall time to fill.
    most
        Most calls to make.

    Returns
    -------
    mean, number
        Of one call, and how many calls it is the mean of.
    """
    first = spent(call)
    if first.wall_s > 0.5 * at_least_s:
        return first, 1
    wall, cpu, system, count = 0.0, 0.0, 0.0, 0
    while count < most and (count == 0 or wall < at_least_s):
        one = spent(call)
        wall, cpu, system, count = wall + one.wall_s, cpu + one.cpu_s, system + one.system_s, count + 1
    return Spent(wall / count, cpu / count, system / count), count


def peak_rss_bytes() -> int:
    """Largest resident set size of this process so far, or since :func:`reset_peak`.

    On Linux from /proc: getrusage counts what the parent process held when it started this one, too.
    """
    with contextlib.suppress(OSError, StopIteration):
        lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
        return 1024 * int(next(line.split()[1] for line in lines if line.startswith("VmHWM:")))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(peak if sys.platform == "darwin" else peak * 1024)


def reset_peak() -> None:
    """Give freed memory back and forget the peak so far, where the system can.

    Where it cannot (anything but Linux), an increment counts from an older peak and is too small, never too large.
    """
    if not sys.platform.startswith("linux"):
        return
    with contextlib.suppress(AttributeError, OSError):  # another C library than glibc
        ctypes.CDLL(None).malloc_trim(0)
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text(_CLEAR_PEAK, encoding="ascii")


def peak_increment_bytes(call: Callable[[], Any]) -> int:
    """Memory that a call needed at its peak beyond what the process held; for a process that does nothing else."""
    reset_peak()
    before = peak_rss_bytes()
    call()
    return peak_rss_bytes() - before


def machine() -> dict[str, Any]:
    """Return processor, number of its cores that may be used, system and Python."""
    model = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        model = next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        pass
    return {
        "processor": model,
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
    }


def origin(packages: tuple[str, ...]) -> dict[str, Any]:
    """Return where and with what something was measured: `machine` and `versions`."""
    return {"machine": machine(), "versions": versions(packages)}


def versions(packages: tuple[str, ...]) -> dict[str, str]:
    """Return the installed versions of some distributions."""
    found = {}
    for name in packages:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found
