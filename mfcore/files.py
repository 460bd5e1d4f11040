"""Files and folders that are there whole or not at all, also after a power cut.

A file is written under a temporary name in the same folder, brought to the disk (fsync), renamed, and the folder is
brought to the disk. A process that is killed in between leaves the temporary one, which :func:`sweep` removes.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from mfbench.mfcore.errors import StorageError

_MARK = ".mfbench-"


@contextmanager
def storage(path: Path) -> Iterator[None]:
    """Turn errors of the system into sentences; those that name no file are about `path`.

    Raises
    ------
    StorageError
        In place of an OSError.
    """
    try:
        yield
    except OSError as error:
        raise StorageError.of(error, None if error.filename is not None else path) from error


def make_folder(path: Path) -> None:
    """Make a folder and its parents, if they are not there.

    Raises
    ------
    StorageError
        If that cannot be done.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        taken = next((p for p in (path, *path.parents) if p.exists() and not p.is_dir()), None)
        if taken is not None:
            raise StorageError.of(NotADirectoryError(errno.ENOTDIR, ""), taken) from error
        raise StorageError.of(error, error.filename or path) from error


def sync(path: Path) -> None:
    """Bring a file or a folder to the disk; file systems that cannot do it for folders are let be."""
    handle = os.open(path, os.O_RDONLY)
    try:
        if path.is_dir():
            with suppress(OSError):
                os.fsync(handle)
        else:
            os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a temporary name in the same folder to write to; at the end it becomes `path`, after a fault it is removed.

    The folder is made if need be. The suffix stays, for writers that choose a format by it. A device or a pipe is
    written to as it is.

    Raises
    ------
    StorageError
        If the system does not let it be written.
    """
    if is_device(path):
        with storage(path):
            yield path
        return
    make_folder(path.parent)
    if path.is_dir():
        raise StorageError.of(IsADirectoryError(errno.EISDIR, "", str(path)))
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem[:100]}{_MARK}", suffix=path.suffix)
    except OSError as error:
        raise StorageError.of(error, path) from error
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        mask = os.umask(0)
        os.umask(mask)
        temporary.chmod(0o666 & ~mask)  # as any new file; a temporary one is for its owner alone
        sync(temporary)
        temporary.replace(path)
        sync(path.parent)
    except OSError as error:
        _remove(temporary)
        if error.filename not in (None, name, temporary):
            raise  # of another file, which the writer reads
        raise StorageError.of(error, path) from error
    except BaseException:
        _remove(temporary)
        raise


@contextmanager
def folder_beside(path: Path) -> Iterator[Path]:
    """Give a folder beside a path to write to, removed at the end; what is killed leaves it to :func:`sweep`.

    Raises
    ------
    StorageError
        If it cannot be made.
    """
    make_folder(path.parent)
    name = {"prefix": f".{path.stem[:100]}{_MARK}", "suffix": path.suffix}
    try:
        made = tempfile.TemporaryDirectory(**name, dir=path.parent, ignore_cleanup_errors=True)
    except OSError as error:
        raise StorageError.of(error, path) from error
    with made as temporary:
        yield Path(temporary)


def is_device(path: Path) -> bool:
    """Say whether a device, a pipe or a socket has this name: such are not replaced."""
    return path.exists() and not path.is_file() and not path.is_dir()


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
        return
    with suppress(OSError):
        path.unlink()


def sweep(path: Path) -> None:
    """Remove temporary files that killed processes have left of a file; for the one who holds its lock."""
    for left in path.parent.glob(f".{_escaped(path.stem[:100])}{_MARK}*{_escaped(path.suffix)}"):
        _remove(left)


def sweep_folder(folder: Path, suffixes: Sequence[str]) -> None:
    """Remove temporary files with these suffixes that killed processes have left in a folder; for its lock's holder."""
    for suffix in suffixes:
        for left in folder.glob(f".*{_MARK}*{_escaped(suffix)}"):
            _remove(left)


def _escaped(text: str) -> str:
    return "".join(f"[{c}]" if c in "*?[" else c for c in text)


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file whole; errors as in :func:`replacing`."""
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def write_text(path: Path, content: str) -> None:
    """Write a text file whole, as UTF-8; errors as in :func:`replacing`."""
    write_bytes(path, content.encode())


def append_line(path: Path, line: str) -> None:
    """Add a line to a file whole; one without its end, which a killed writer has left, is cut off before.

    Raises
    ------
    StorageError
        If it cannot be added; the file is then as it was.
    """
    with storage(path), path.open("a+b") as stream:
        stream.seek(0)
        end = stream.read().rfind(b"\n") + 1
        stream.truncate(end)
        try:
            stream.write(line.encode() + b"\n")
            stream.flush()
            os.fsync(stream.fileno())
        except OSError:
            with suppress(OSError):
                os.truncate(path, end)
            raise


def whole_lines(path: Path) -> list[str]:
    """Lines that :func:`append_line` has added; one without its end, which a killed writer has left, is none."""
    text = path.read_text(encoding="utf-8")
    return text[: text.rfind("\n") + 1].splitlines()


def rename_folder(made: Path, path: Path) -> None:
    """Give a folder that is complete its name; its files are brought to the disk before.

    Raises
    ------
    StorageError
        If that cannot be done, or `path` is there already.
    """
    try:
        for file in made.rglob("*"):
            sync(file)
        sync(made)
        made.rename(path)
        sync(path.parent)
    except OSError as error:
        raise StorageError.of(error, path) from error


def sha256_of(path: Path) -> str:
    """The sha256 of a file, hexadecimal."""
    return sum_of(path, "sha256")


def sum_of(path: Path, algorithm: str) -> str:
    """A sum of a file, hexadecimal, by the name that hashlib has for it."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, algorithm).hexdigest()
