"""Results of comparing a user's frames with each other, kept on the disk so that the next command has them."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar

from ase import Atoms
from pydantic import TypeAdapter, ValidationError

from mfbench.mfcore.backends.cache import cache_root, objection, obstacle
from mfbench.mfcore.errors import DataError, StorageError
from mfbench.mfcore.files import write_text
from mfbench.mfcore.provenance import digest, frames_hash, source_hash
from mfbench.mfcore.sealed import read_sealed, sealed

MOST_RECORDS, MOST_BYTES = 64, 256 * 2**20
"""Of all records together; those that were used longest ago go first."""
LARGEST_BYTES = 32 * 2**20
_SCHEMA = 1
_LITTER_S = 3600  # nobody writes one record so long
_TITLE = "the record of a comparison of frames"
_LIBRARIES = ("ase", "numpy", "scipy")

T = TypeVar("T")


def findings_folder() -> Path:
    """The folder of records in the user's cache."""
    return cache_root() / "comparisons"


class Findings:
    """Results about frames by name, taken from a record of the same frames, or computed.

    A record is known by the sha256 of all that its frames have, of the settings, of the code and of the versions of
    the libraries. One that is damaged, another's or may be written to by others is as if it were not there.

    Parameters
    ----------
    files
        The frames of each file, as they were read.
    settings
        Whatever else the results follow from, as JSON values.
    keep
        Whether records are read and written at all.
    """

    def __init__(self, files: Sequence[Sequence[Atoms]], settings: Mapping[str, Any], *, keep: bool = True) -> None:
        self._folder = findings_folder() if keep else None
        self._key = "" if self._folder is None else digest([_code(), [frames_hash(f) for f in files], dict(settings)])
        self._known = self._read()
        self._computed = False

    @property
    def found(self) -> bool:
        """True if no result had to be computed."""
        return bool(self._known) and not self._computed

    def of(self, name: str, kind: type[T], compute: Callable[[], T]) -> T:
        """Return a result of this type; pydantic makes JSON values of it and checks what is read."""
        adapter = TypeAdapter(kind)
        if name in self._known:
            with suppress(ValidationError):
                return adapter.validate_python(self._known[name])
        value, self._computed = compute(), True
        if self._folder is not None:
            self._known[name] = adapter.dump_python(value, mode="json")
        return value

    def keep(self) -> str | None:
        """Write what was computed, or mark the record as used; return the reason why it is not kept, or None."""
        if self._folder is None:
            return None
        path = self._path(self._folder)
        if not self._computed:
            with suppress(OSError):
                os.utime(path)
            return None
        if (reason := obstacle(self._folder)) is not None:
            return reason
        try:
            text = sealed({"schema": _SCHEMA, "key": self._key, "found": self._known})
            if len(text) > LARGEST_BYTES:
                return f"it is larger than {LARGEST_BYTES // 2**20} MB"
            write_text(path, text)
            path.chmod(0o600)
        except (StorageError, OSError) as error:
            return str(error).removesuffix(".")
        _sweep(self._folder, path)
        return None

    def _path(self, folder: Path) -> Path:
        return folder / f"{self._key}.json"

    def _read(self) -> dict[str, Any]:
        """The results of the record; none if there is no sound one."""
        if self._folder is None:
            return {}
        path = self._path(self._folder)
        try:
            if any(objection(p) is not None for p in (self._folder, path)) or path.stat().st_size > LARGEST_BYTES:
                return {}
            record = read_sealed(path, _TITLE, _SCHEMA, "", ("key", "found"))
        except (OSError, DataError):
            return {}
        right = record["key"] == self._key and isinstance(record["found"], dict)
        return record["found"] if right else {}


@cache
def _code() -> dict[str, str]:
    """Hash of the code that results come from, and versions of the libraries."""
    from mfbench.mfcore import data

    here = Path(__file__).parent
    return {"code": source_hash([Path(data.__file__).parent, *here.glob("*.py")])} | {n: version(n) for n in _LIBRARIES}


def _sweep(folder: Path, newest: Path) -> None:
    """Remove what killed writers have left, and the records that are too many or too large together."""
    used = []
    for path in folder.iterdir():
        with suppress(OSError):
            state = path.stat()
            if path.name.startswith("."):
                if time.time() - state.st_mtime > _LITTER_S:
                    path.unlink()
            elif path != newest and path.suffix == ".json":
                used.append((state.st_mtime, state.st_size, path))
    n, size = 1, newest.stat().st_size
    for _, bytes_, path in sorted(used, reverse=True):
        n, size = n + 1, size + bytes_
        if n > MOST_RECORDS or size > MOST_BYTES:
            with suppress(OSError):
                path.unlink()
