"""Worker processes that are started from a notebook or a script."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def without_script() -> Iterator[None]:
    """Let processes that start meanwhile import no script: what they compute is in mfbench alone.

    A new process imports the script that started it, which would begin the comparison again where the script has no
    `if __name__ == "__main__"`.
    """
    main = sys.modules["__main__"]
    kept = {name: getattr(main, name) for name in ("__file__", "__spec__") if hasattr(main, name)}
    try:
        main.__spec__ = None
        if "__file__" in kept:
            del main.__file__
        yield
    finally:
        for name, value in kept.items():
            setattr(main, name, value)
