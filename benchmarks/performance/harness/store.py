"""Results files: JSON, written whole after every finished measurement, so that a cut costs one of them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mfbench.benchmarks.performance.measure import machine
from mfbench.mfcore.errors import DataError
from mfbench.mfcore.files import write_text
from mfbench.mfcore.provenance import digest, source_hash

Record = dict[str, Any]


@dataclass(frozen=True)
class ResultsFile:
    """The records that a study keeps.

    Attributes
    ----------
    path
        Of the file.
    study
        For messages: "speed comparison".
    option
        Of the command line, that names another file.
    records
        Name of the file's list of records; None if the file is one record.
    needs
        Fields that every record has.
    """

    path: Path
    study: str
    option: str
    records: str | None = None
    needs: tuple[str, ...] = ("key",)

    def read(self) -> list[Record]:
        """All records, the oldest first; none if there is no file.

        Raises
        ------
        DataError
            If the file is not such a file.
        """
        if not self.path.exists():
            return []
        try:
            content = json.loads(self.path.read_text(encoding="utf-8"))
            found: list[Record] = [content] if self.records is None else list(content[self.records])
            for record in found:
                for name in self.needs:
                    record[name]
        except (ValueError, KeyError, TypeError) as error:
            hint = f"Give another {self.option}, or delete it."
            raise DataError(f"not a results file of the {self.study} ({error}).", file=self.path, hint=hint) from None
        return found

    def by_key(self) -> dict[str, Record]:
        """All records by their key."""
        return {record["key"]: record for record in self.read()}

    def keep(self, record: Record, place: Callable[[Record], Any] = lambda record: record["key"]) -> None:
        """Put a record into the file; the one of the same place is replaced, in a file of one record that one."""
        if self.records is None:
            write_json(self.path, record)
            return
        others = [other for other in self.read() if place(other) != place(record)]
        write_json(self.path, {self.records: [*others, record]})


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a results file whole."""
    write_text(path, json.dumps(content, indent=1) + "\n")


def key_of(content: Mapping[str, Any], sources: Iterable[Path]) -> str:
    """Hash of all that must be the same for rounds to stand beside each other; the machine belongs to it."""
    return digest({**content, "sources": source_hash(sources), "machine": machine()})


def now() -> str:
    """Date and time of a record."""
    return datetime.now(UTC).isoformat(timespec="seconds")
