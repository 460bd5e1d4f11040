"""The tracked baseline: every value of every seed, so that thresholds follow from it, and what measured it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pydantic import Field, StringConstraints, ValidationError, field_validator

from mfbench.benchmarks.regression.measure import Cell
from mfbench.benchmarks.regression.statistics import FEWEST
from mfbench.mfcore.documents import parse_json, read_document
from mfbench.mfcore.errors import ConfigError, DataError
from mfbench.mfcore.files import write_text
from mfbench.mfcore.sealed import check_editable, sealed_first
from mfbench.mfcore.settings_model import SettingsModel, faults

if TYPE_CHECKING:
    from mfbench.benchmarks.regression.measure import Measured, Speed

SCHEMA = 1
REMEDY = "`mfbench regress DIR --baseline FILE --update` writes one."

LARGEST_BYTES = 16 * 2**20

Name = Annotated[str, StringConstraints(max_length=200)]
Repetition = Annotated[str, StringConstraints(pattern=r"^(0|[1-9][0-9]{0,9})/(0|[1-9][0-9]{0,9})$")]
"""Draw and seed."""


class BaselineCell(SettingsModel):
    """A number of the runs: what it is about, what measured it, and its value by "draw/seed"."""

    task: Name
    regime: Name
    arm: Name
    split: Name
    metric: Name
    benchmark: Name
    values: dict[Repetition, float] = Field(min_length=1)

    @property
    def cell(self) -> Cell:
        """Place of the entry in the grid."""
        return Cell(self.task, self.regime, self.arm, self.split, self.metric)

    def repetitions(self) -> dict[tuple[int, int], float]:
        """Value by (draw, seed)."""
        return {(int(key.split("/")[0]), int(key.split("/")[1])): value for key, value in self.values.items()}


class BaselineSpeed(SettingsModel):
    """A benchmark's time as ratios to the reference kernel, one a repeat of the suite, and the hash of its source."""

    name: Name
    source: Name
    ratios: list[Annotated[float, Field(gt=0)]] = Field(min_length=1)


class Baseline(SettingsModel):
    """Content of `results/baselines/*.json`."""

    schema_version: int = SCHEMA
    preset: Name
    date: Name
    mfbench_version: Name
    commit: Name | None
    torch_version: Name
    cells: list[BaselineCell]
    speed: list[BaselineSpeed] = Field(default_factory=list)

    @field_validator("cells")
    @classmethod
    def _each_once(cls, values: list[BaselineCell]) -> list[BaselineCell]:
        seen = set[Cell]()
        for entry in values:
            if entry.cell in seen:
                raise ValueError(f"two entries are of {', '.join(entry.cell)}")
            seen.add(entry.cell)
        return values


def read_baseline(path: Path) -> Baseline:
    """Read a baseline.

    Raises
    ------
    DataError
        If it is missing, not a baseline of this schema, or was changed since it was written and does not say so.
    """

    def fail(problem: str) -> DataError:
        return DataError(f"not a baseline: {problem}", file=path, hint=REMEDY)

    if not path.exists():
        raise DataError("no baseline (no such file).", file=path, hint=REMEDY)
    content = parse_json(read_document(path, largest=LARGEST_BYTES, fail=fail), fail, most=1_000_000)
    try:
        if isinstance(content, dict) and content.get("schema_version", SCHEMA) == SCHEMA:
            content = check_editable(content, path, "the baseline")
        baseline = Baseline.model_validate(content)
    except ValidationError as error:
        raise fail(f"{faults(error)}.") from error
    if baseline.schema_version != SCHEMA:
        raise DataError(
            f"expected {SCHEMA}, found {baseline.schema_version}.", file=path, key="schema_version", hint=REMEDY
        )
    return baseline


def make_baseline(measured: Measured | None, speed: Sequence[Speed], previous: Baseline | None = None) -> Baseline:
    """Make a baseline of runs and of a speed measurement; what was not measured is kept from the previous one.

    Raises
    ------
    ConfigError
        If a run has failed, or there are too few seeds for a spread.
    """
    from mfbench.benchmarks.harness.execute import versions

    if measured is not None:
        _check(measured)
    elif not speed:
        raise ConfigError("baseline: nothing was measured; give a folder of runs, --speed, or both.")
    found = versions()
    return Baseline(
        preset=measured.preset if measured else previous.preset if previous else "",
        date=datetime.now(UTC).isoformat(timespec="seconds"),
        mfbench_version=found["mfbench"],
        commit=commit(),
        torch_version=found["torch"],
        cells=_cells(measured) if measured else list(previous.cells) if previous else [],
        speed=[BaselineSpeed(name=s.name, source=s.source, ratios=list(s.ratios)) for s in speed]
        or (list(previous.speed) if previous else []),
    )


def write_baseline(baseline: Baseline, path: Path) -> None:
    """Write a baseline whole; a line a cell, so that a new one can be read as a difference."""
    content = sealed_first(baseline.model_dump(mode="json"))
    parts = []
    for name, value in content.items():
        if isinstance(value, list):
            lines = ",\n  ".join(json.dumps(item, ensure_ascii=False, allow_nan=False) for item in value)
            parts.append(f' "{name}": [' + (f"\n  {lines}\n ]" if value else "]"))
        else:
            parts.append(f' "{name}": {json.dumps(value, ensure_ascii=False)}')
    write_text(path, "{\n" + ",\n".join(parts) + "\n}\n")


def _check(measured: Measured) -> None:
    if not measured.values:
        stale = f" ({measured.n_stale} stored runs are of other code or another preset)" if measured.n_stale else ""
        raise ConfigError(f"baseline: there is no finished run of preset '{measured.preset}'{stale}; run it first.")
    for (_, _, arm), reasons in measured.failed.items():
        (draw, seed), reason = next(iter(reasons.items()))
        raise ConfigError(
            f"baseline: {arm}, draw {draw}, seed {seed} has failed: {reason}; a baseline has no failures."
        )
    for cell, values in measured.values.items():
        seeds = {seed for _, seed in values}
        if len(seeds) < FEWEST:
            raise ConfigError(
                f"baseline: {cell.arm} has {len(seeds)} seeds; thresholds are made of the spread of at least {FEWEST}."
            )


def _cells(measured: Measured) -> list[BaselineCell]:
    return [
        BaselineCell(
            **cell._asdict(),
            benchmark=measured.benchmarks[cell],
            values={f"{draw}/{seed}": value for (draw, seed), value in sorted(values.items())},
        )
        for cell, values in sorted(measured.values.items())
    ]


def commit() -> str | None:
    """Commit that the code is of, if that is known: from the environment of a CI job, or from git."""
    import os
    import subprocess

    named = os.environ.get("GITHUB_SHA")
    if named:
        return named[:12]
    folder = Path(__file__).resolve().parents[2]
    if not (folder / ".git").exists():
        return None
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), "rev-parse", "--short=12", "HEAD"],
            capture_output=True,
            text=True,
            timeout=10,
            check=False,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() or None
