"""The history: one line of JSON for each baseline that was, so that a trend outlives its baselines.

The first line has the sha256 of all others.
"""

from __future__ import annotations

import io
import json
import math
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import ValidationError

from mfbench.mfcore.documents import parse_json, read_document
from mfbench.mfcore.errors import ConfigError, DataError
from mfbench.mfcore.files import replacing, write_text
from mfbench.mfcore.provenance import digest
from mfbench.mfcore.sealed import SEAL, check_editable
from mfbench.mfcore.settings_model import SettingsModel, faults

if TYPE_CHECKING:
    from mfbench.benchmarks.regression.baseline import Baseline

SCHEMA = 1
LARGEST_BYTES = 16 * 2**20


def point(baseline: Baseline) -> dict[str, Any]:
    """Make the line of a baseline: geometric means over seeds of each cell, and over repeats of each speed ratio."""
    metrics = {
        "|".join(entry.cell): _mean(list(entry.values.values())) for entry in baseline.cells if entry.cell.metric
    }
    return {
        "schema_version": SCHEMA,
        "date": baseline.date,
        "preset": baseline.preset,
        "mfbench_version": baseline.mfbench_version,
        "commit": baseline.commit,
        "metrics": metrics,
        "benchmarks": {"|".join(entry.cell): entry.benchmark[:12] for entry in baseline.cells}
        | {entry.name: entry.source[:12] for entry in baseline.speed},
        "speed": {entry.name: _mean(entry.ratios) for entry in baseline.speed},
    }


def _mean(values: list[float]) -> float:
    array = np.array(values)
    return float(np.exp(np.log(array).mean())) if (array > 0).all() else float(array.mean())


def append(path: Path, line: dict[str, Any]) -> None:
    """Add a point; the file is replaced whole, and a faulty one is left as it is.

    A point that differs from the last one in no more than its date takes its place: an update that was killed has added
    it already.
    """
    points = read_history(path) if path.exists() else []
    if points and points[-1] | {"date": ""} == line | {"date": ""}:
        points.pop()
    points.append(line)
    lines = [{SEAL: digest({"points": points})}, *points]
    write_text(path, "".join(json.dumps(item, ensure_ascii=False, allow_nan=False) + "\n" for item in lines))


def read_history(path: Path) -> list[dict[str, Any]]:
    """Read the points, oldest first.

    Raises
    ------
    DataError
        If the file is missing, a line is none of a history, or it was changed since it was written and does not say so.
    """
    remedy = "Take the file from git."
    try:
        path.stat()
    except OSError as error:
        raise DataError(
            f"no history ({error.strerror}).", file=path, hint="`mfbench regress --update` begins one."
        ) from error

    def fail(problem: str, line: int | None = None) -> DataError:
        return DataError(problem if line is None else f"line {line}: {problem}", file=path, hint=remedy)

    lines = read_document(path, largest=LARGEST_BYTES, fail=fail).split("\n")
    found: list[Any] = []
    for number, line in enumerate(lines[: -1 if lines[-1] == "" else None], start=1):
        found.append(parse_json(line, partial(fail, line=number)))
    for number, item in enumerate(found[1:], start=2):
        if not isinstance(item, dict) or item.get("schema_version") != SCHEMA:
            raise DataError(f"line {number} does not have schema {SCHEMA}.", file=path, key="schema_version")
        try:
            _Point.model_validate(item)
        except ValidationError as error:
            raise fail(f"{faults(error)}.", number) from error
    head = found[0] if found and isinstance(found[0], dict) else {}
    points: list[dict[str, Any]] = found[1:]
    check_editable({SEAL: head.get(SEAL, ""), "points": points}, path, "the history")
    return points


class _Point(SettingsModel):
    """A line of the history, see :func:`point`."""

    schema_version: int
    date: str
    preset: str
    mfbench_version: str
    commit: str | None
    metrics: dict[str, float]
    benchmarks: dict[str, str]
    speed: dict[str, float]


def draw_trend(points: list[dict[str, Any]], path: Path) -> None:
    """Draw each metric, and the speed, over the points: geometric mean over arms and splits, relative to the start.

    A line ends where the benchmark was edited, and begins anew at 1: what is left and right is not comparable.

    Raises
    ------
    ConfigError
        If there is nothing to draw.
    """
    lines = curves(points)
    if not lines:
        raise ConfigError("history: it has no metric; `mfbench regress DIR --update` adds a point.")
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 3.2), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for number, (name, segments) in enumerate(lines.items()):
        for index, segment in enumerate(segments):
            axes.plot(
                *zip(*segment, strict=True),
                color=f"C{number}",
                marker="osD^v<>"[number % 7],
                markersize=3.5,
                linewidth=1.2,
                label=None if index else name,
            )
    axes.axhline(1.0, color="0.7", linewidth=0.8, zorder=0)
    axes.set_xticks(range(len(points)), [_label(item) for item in points], rotation=30, ha="right", fontsize=7)
    axes.set_ylabel("relative to the start")
    axes.legend(fontsize=7, frameon=False)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    drawn = io.BytesIO()
    figure.savefig(drawn, dpi=150, format=path.suffix.lstrip(".") or "png")
    with replacing(path) as temporary:
        temporary.write_bytes(drawn.getbuffer())


def curves(points: list[dict[str, Any]]) -> dict[str, list[list[tuple[int, float]]]]:
    """Chain the changes from point to point, by metric: segments of (index of the point, relative value)."""
    titles: dict[str, str] = {}
    for item in points:
        titles |= {f"metric|{key}": key.rpartition("|")[2] for key in item["metrics"]}
        titles |= {f"speed|{key}": "time / reference kernel" for key in item["speed"]}
    found: dict[str, list[list[tuple[int, float]]]] = {}
    for title in sorted(set(titles.values())):
        members = [key for key, name in titles.items() if name == title]
        segments: list[list[tuple[int, float]]] = []
        for index, item in enumerate(points):
            if not any(_value(item, key) for key in members):
                continue
            before = points[segments[-1][-1][0]] if segments else None
            logs = [change for key in members if before and (change := _change(before, item, key)) is not None]
            if logs:
                segments[-1].append((index, segments[-1][-1][1] * math.exp(sum(logs) / len(logs))))
            else:
                segments.append([(index, 1.0)])
        found[title] = segments
    return found


def _label(item: dict[str, Any]) -> str:
    return f"{item['date'][:10]}\n{item['commit'] or item['mfbench_version']}"


def _value(item: dict[str, Any], key: str) -> float | None:
    kind, _, name = key.partition("|")
    value: float | None = item["speed" if kind == "speed" else "metrics"].get(name)
    return value


def _change(before: dict[str, Any], after: dict[str, Any], key: str) -> float | None:
    """Logarithm of the ratio of two points; None if they are not comparable."""
    old, new = _value(before, key), _value(after, key)
    name = key.partition("|")[2]
    if not old or not new or old < 0 or new < 0 or before["benchmarks"].get(name) != after["benchmarks"].get(name):
        return None
    return math.log(new / old)
