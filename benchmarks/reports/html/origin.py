"""Where the rows of a page come from: the command, hashes, versions, and why runs failed."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mfbench.benchmarks.reports.results import Results
from mfbench.mfcore.cores.registry import DEFAULT

if TYPE_CHECKING:
    from pandas import DataFrame


@dataclass(frozen=True)
class Origin:
    """Origin of rows, as far as they do not say it themselves.

    Attributes
    ----------
    source, command
        What was read, and what makes the page again.
    data_hashes
        sha256 of each data file that the runs read, by name; empty where the source has no records.
    rows_hash
        sha256 of the file of rows; empty for a folder.
    reasons
        Why runs failed, by run key.
    n_low
        Number of LF training frames by run key, where the record says it.
    """

    source: str = ""
    command: str = "mfbench report DIR --format html --out FILE"
    data_hashes: Mapping[str, str] = field(default_factory=dict)
    rows_hash: str = ""
    reasons: Mapping[str, str] = field(default_factory=dict)
    n_low: Mapping[str, int] = field(default_factory=dict)


def origin_of(source: Path, command: str) -> Origin:
    """Read the records of a folder of runs, or the hash of a file of rows."""
    if not source.is_dir():
        return Origin(str(source), command, rows_hash=hashlib.sha256(source.read_bytes()).hexdigest())
    from mfbench.benchmarks.harness.store import RunStore

    store = RunStore(source)
    hashes: dict[str, str] = {}
    reasons: dict[str, str] = {}
    n_low: dict[str, int] = {}
    for key in store.current_keys():
        record = store.load(key).record
        hashes |= {str(name): str(value) for name, value in record.get("identity", {}).get("data", {}).items()}
        if record["status"] == "failed":
            reasons[key] = str(record.get("reason") or "no reason was recorded")
        if (n := _low_frames(record)) is not None:
            n_low[key] = n
    return Origin(str(source), command, dict(sorted(hashes.items())), "", reasons, n_low)


def facts(results: Results, origin: Origin) -> list[tuple[str, str]]:
    """Give the facts at the head of the page, as pairs of a name and a value."""
    runs = results.by_run
    failed = int((runs["status"] != "finished").sum())
    keys = sorted({str(key) for key in runs["run_key"]})
    found = [
        ("Tasks", ", ".join(results.tasks)),
        ("Runs", f"{len(runs)}, of which {failed} failed" if failed else f"{len(runs)}, none failed"),
    ]
    if results.cores != [DEFAULT]:
        found.append(("Cores", ", ".join(results.cores)))
    if dates := _between(runs, "date"):
        found.append(("Computed", dates))
    computed = [f"{name} {_list(runs, column)}" for name, column in _VERSIONS if column in runs]
    found.append(("Computed by", ", ".join(computed) or "unknown"))
    if results.unknown_arms:
        found.append(("Arms not installed here", ", ".join(results.unknown_arms)))
    if results.unknown_metrics:
        found.append(("Metrics of observables not installed here", ", ".join(results.unknown_metrics)))
    found.append(("Run keys", f"sha256 of the sorted keys {_digest(keys)}"))
    if origin.rows_hash:
        found.append(("Rows", f"{origin.source}, sha256 {origin.rows_hash}"))
    found += [("Data", f"{name}, sha256 {value}") for name, value in origin.data_hashes.items()]
    return found


_VERSIONS = (("mfbench", "mfbench_version"), ("torch", "torch_version"))


def _low_frames(record: Mapping[str, Any]) -> int | None:
    """LF training frames of a run: of every fidelity but the target, which alone has a ceiling."""
    counts: Mapping[str, int] = record.get("split", {}).get("n_frames", {})
    high = {name.removeprefix("ceiling_") for name in counts if name.startswith("ceiling_")}
    low = [n for name, n in counts.items() if name.startswith("train_") and name.removeprefix("train_") not in high]
    return sum(low) if low and high else None


def _between(runs: DataFrame, column: str) -> str:
    days = sorted({str(value)[:10] for value in runs[column]}) if column in runs else []
    return " to ".join(dict.fromkeys((days[0], days[-1]))) if days else ""


def _list(runs: DataFrame, column: str) -> str:
    return ", ".join(sorted({str(value) for value in runs[column]}))


def _digest(keys: list[str]) -> str:
    return hashlib.sha256("\n".join(keys).encode()).hexdigest()


def page_version() -> str:
    """Version of the package that makes the page."""
    try:
        return version("mfbench")
    except PackageNotFoundError:
        return "unknown"
