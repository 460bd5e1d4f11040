"""The results file: sessions by key, each with its finished rounds, written anew after every round."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mfbench.benchmarks.performance.measure import machine
from mfbench.benchmarks.performance.speed.settings import Session, sources
from mfbench.mfcore.errors import DataError
from mfbench.mfcore.files import write_text
from mfbench.mfcore.provenance import digest, source_hash


def session_key(session: Session) -> str:
    """Hash of all that must be the same for rounds to stand beside each other."""
    return digest(
        {
            "session": session.as_dict(),
            "network": session.network.__dict__,
            "sources": source_hash(sources()),
            "machine": machine(),
        }
    )


def read(path: Path) -> dict[str, dict[str, Any]]:
    """Read the sessions of a results file by key; {} if there is none.

    Raises
    ------
    DataError
        If the file is not such a file.
    """
    if not path.exists():
        return {}
    try:
        return {record["key"]: record for record in json.loads(path.read_text(encoding="utf-8"))["sessions"]}
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"not a results file of the speed comparison ({error}).",
            file=path,
            hint="Give another --json, or delete it.",
        ) from None


def new_record(session: Session, key: str, counts: dict[str, int]) -> dict[str, Any]:
    """Return a session without rounds."""
    return {
        "key": key,
        "session": session.as_dict(),
        "network": {**session.network.__dict__, "radial_hidden": list(session.network.radial_hidden)},
        **counts,
        "machine": machine(),
        "contenders": {},
        "rounds": [],
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def keep(path: Path, record: dict[str, Any]) -> None:
    """Put a session into the file; an older one of the same contenders, workload, network and threads is replaced."""

    def place(other: dict[str, Any]) -> tuple[Any, ...]:
        session = other["session"]
        return tuple(session[name] for name in ("workload", "variant", "threads", "device", "contenders"))

    others = [r for r in read(path).values() if place(r) != place(record)]
    write_text(path, json.dumps({"sessions": [*others, record]}, indent=1) + "\n")
