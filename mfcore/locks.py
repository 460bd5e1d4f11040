"""Locks between processes: two commands do not write to one place at once.

The system frees a lock when its process ends, however it ends.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from mfbench.mfcore.errors import ConfigError, StorageError
from mfbench.mfcore.files import is_device, make_folder, sweep


@contextmanager
def only_one(lock: Path, taken: str) -> Iterator[None]:
    """Hold a lock for this process.

    Parameters
    ----------
    lock
        The file that stands for it; its folder is made. It stays.
    taken
        The message if another process holds it.

    Raises
    ------
    ConfigError
        With that message.
    StorageError
        If the file cannot be made.
    """
    make_folder(lock.parent)
    held = FileLock(lock)
    try:
        held.acquire(timeout=0)
    except Timeout:
        _check_writable(lock)  # a place where no file can be made is never free, either
        raise ConfigError(taken) from None
    except OSError as error:
        raise StorageError.of(error, lock) from error
    try:
        yield
    finally:
        held.release()


@contextmanager
def one_at_a_time(lock: Path) -> Iterator[None]:
    """Hold a lock, after waiting for as long as it takes; none where the file system has none.

    It keeps processes from doing the same work twice; what they write would be whole without it, too.

    Parameters
    ----------
    lock
        The file that stands for it; its folder is made. It stays.

    Raises
    ------
    StorageError
        If the file cannot be made.
    """
    make_folder(lock.parent)
    held = FileLock(lock)
    try:
        held.acquire()
    except NotImplementedError:
        pass
    except OSError as error:
        if error.errno not in (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP):
            raise StorageError.of(error, lock) from error
    try:
        yield
    finally:
        held.release()


def _check_writable(lock: Path) -> None:
    try:
        with lock.open("ab"):
            pass
    except OSError as error:
        raise StorageError.of(error, lock.parent) from error


@contextmanager
def only_writer_of(path: Path) -> Iterator[None]:
    """Hold a file or folder that is yet to be written, and remove what killed processes have left of it.

    The lock lies beside it and is removed at the end.

    Raises
    ------
    ConfigError
        If another process is writing it.
    StorageError
        If its folder cannot be written to.
    """
    if is_device(path):
        yield
        return
    lock = path.with_name(f".{path.name}.lock")
    with only_one(lock, f"{path}: another mfbench works on it; wait for it or give another name."):
        try:
            sweep(path)
            yield
        finally:
            with suppress(OSError):  # while it is held: who opened it meanwhile sees that it is gone, and tries again
                lock.unlink()
