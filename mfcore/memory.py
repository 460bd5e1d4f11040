"""Keep what is freed, so that the large arrays of one call are not mapped and cleared anew in the next."""

from __future__ import annotations

import ctypes
import os
from functools import cache

VARIABLE = "MFBENCH_KEEP_MEMORY"
_OFF = ("0", "false", "no", "off", "n")

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # malloc.h
_SHARE = 4  # of the machine's memory: one part in so many
_MOST = 2**31 - 1  # mallopt takes an int
_NEVER = -1  # of trimming, says mallopt(3)


def keep_freed_memory() -> bool:
    """Ask the C library to keep freed memory for the next call, once in this process.

    By default glibc maps every array of more than 32 MB on its own and gives it back when it is freed; the system then
    clears its pages again at the next call, which takes as long as the arithmetic. Now arrays up to a quarter of the
    machine's memory (at most 2 GiB) come from the heap, and the heap keeps its size until the process ends: large
    batches of a kind follow one another, and need it again. Other C libraries are left as they are, and so is glibc if
    the environment variable MFBENCH_KEEP_MEMORY is 0.

    Returns
    -------
    bool
        Whether freed memory is kept.
    """
    if os.environ.get(VARIABLE, "").strip().lower() in _OFF:
        return False
    return _asked()


@cache
def _asked() -> bool:
    try:
        library = ctypes.CDLL(None)
        set_option = library.mallopt
        library.gnu_get_libc_version  # noqa: B018 - others have a mallopt that does other things
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, TypeError, ValueError):  # the latter two on Windows and for unknown names
        return False
    most = min(memory // _SHARE, _MOST)
    return bool(set_option(_M_MMAP_THRESHOLD, most)) and bool(set_option(_M_TRIM_THRESHOLD, _NEVER))


def memory_report() -> str:
    """Return what is done with freed memory: for people."""
    value = os.environ.get(VARIABLE)
    kept = "kept for the next call" if keep_freed_memory() else "as the C library has it"
    return f"{kept} ({VARIABLE} is {'not set' if value is None else value}; 0 leaves it to the C library)"
