"""Packed files, opened so that no more comes out of them than is expected: a megabyte may hold gigabytes."""

from __future__ import annotations

import io
import lzma
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, cast

from mfbench.mfcore.errors import DataError

COMPRESSED = (".gz", ".bz2", ".xz", ".zip")

DAMAGED = (
    *(OSError, EOFError, RecursionError, zlib.error, lzma.LZMAError),
    *(zipfile.BadZipFile, NotImplementedError, RuntimeError),  # of zip archives
)
"""Errors of reading a damaged file, beside the ValueError of what cannot be decoded."""

_XZ_MEMORY = 128 * 2**20


class _Bounded(io.RawIOBase):
    """A stream that refuses to give more than so many bytes."""

    def __init__(self, stream: IO[bytes], most: int, path: Path, remark: str) -> None:
        super().__init__()
        self._stream, self._left, self._most, self._path, self._remark = stream, most, most, path, remark

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        part = self._stream.read(len(buffer))
        self._left -= len(part)
        if self._left < 0:
            raise DataError(f"it holds more than {self._most:,} bytes; {self._remark}.", file=self._path)
        buffer[: len(part)] = part
        return len(part)


@contextmanager
def opened(path: Path, most: int, remark: str = "split it") -> Iterator[IO[bytes]]:
    """Open a file, decompressed by its ending, for at most so many bytes; `remark` ends the message of more."""
    import bz2
    import gzip

    ending = path.suffix.lower()
    with path.open("rb") as file:
        source: IO[bytes] = file
        if ending == ".gz":
            source = cast("IO[bytes]", gzip.GzipFile(fileobj=file))
        elif ending == ".bz2":
            source = bz2.BZ2File(file)
        elif ending == ".xz":
            lzma.LZMADecompressor(memlimit=_XZ_MEMORY).decompress(file.read(2**16), 1)  # its head may ask for gigabytes
            file.seek(0)
            source = lzma.open(file)  # noqa: SIM115 (nothing to close but the file)
        elif ending == ".zip":
            archive = zipfile.ZipFile(file)
            names = archive.namelist()
            if len(names) != 1:
                raise DataError(f"the archive has {len(names)} files; expected one.", file=path)
            source = archive.open(names[0])
        yield io.BufferedReader(_Bounded(source, most, path, remark), 2**16)


def reason_of(error: Exception) -> str:
    """The first line of an error, of limited length."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 160 else text[:159] + "…"
