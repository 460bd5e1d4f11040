"""Tables and figure of the study, from its stored rows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import geometric_mean
from typing import Any

from rich.table import Table

from mfbench.benchmarks.performance.harness.store import Record
from mfbench.benchmarks.performance.training.settings import Problem

_UNITS = {
    "force_mae_mev_per_A": "force MAE (meV/Å)",
    "energy_mae_mev_per_atom": "energy MAE (meV/atom)",
    "energy_mae_by_constant": "energy error / a constant's",
}


def latest(rows: Sequence[Record]) -> list[Record]:
    """Keep the newest row of each problem, variant, budget and repeat: older ones are of other code."""
    kept: dict[tuple[Any, ...], Record] = {}
    for row in sorted(rows, key=lambda r: str(r["date"])):
        kept[row["problem"], row["variant"], row["budget"], row["repeat"]] = row
    return list(kept.values())


def groups(rows: Sequence[Record]) -> dict[tuple[str, float], list[Record]]:
    """Rows by variant and budget."""
    made: dict[tuple[str, float], list[Record]] = {}
    for row in rows:
        made.setdefault((row["variant"], row["budget"]), []).append(row)
    return made


def table_of(problem: Problem, rows: Sequence[Record]) -> Table:
    """Errors of a problem's variants, those of one budget below each other, the lowest first."""
    table = Table(title=f"{problem.name}: {problem.arm}, {dict(problem.regime)}, network {dict(problem.core)}")
    metric = problem.metric
    also = "energy_mae_mev_per_atom" if metric.startswith("force") else "energy_detrended_mae_mev_per_atom"
    headings = ("variant", "factor", "atom gradients", "steps", "CPU (s)", _UNITS[metric], "by repeat", also, "failed")
    for heading in headings:
        table.add_column(heading, justify="left" if heading in headings[:2] else "right")
    lines = []
    for (variant, budget), own in groups([r for r in rows if r["problem"] == problem.name]).items():
        done = [r for r in own if r["status"] == "ok"]
        found = [r["errors"][metric] for r in sorted(done, key=lambda r: r["repeat"])]
        mean = geometric_mean(found) if found else float("inf")
        each = ", ".join(f"{x:.3g}" for x in found[:6]) + (f", ... up to {max(found):.3g}" if len(found) > 6 else "")
        cells = (
            variant,
            own[0]["factor"],
            f"{budget:g}",
            f"{sum(r['steps'] for r in done) / len(done):.0f}" if done else "",
            f"{sum(r['train_cpu_s'] for r in done) / len(done):.1f}" if done else "",
            f"{mean:.3g}" if found else "",
            each,
            f"{geometric_mean(r['errors'][also] for r in done):.3g}" if done else "",
            str(len(own) - len(done)),
        )
        lines.append(((budget, mean), cells))
    for _, cells in sorted(lines):
        table.add_row(*cells)
    return table


def draw(problems: Sequence[Problem], rows: Sequence[Record], path: Path) -> None:
    """Draw errors against CPU seconds, a panel a problem: lines where a variant has several budgets."""
    from matplotlib.figure import Figure

    from mfbench.benchmarks.reports.figures.style import log_axis

    shown = [p for p in problems if any(r["problem"] == p.name and r["status"] == "ok" for r in rows)]
    if not shown:
        return
    across = min(2, len(shown))
    down = -(-len(shown) // across)
    figure = Figure(figsize=(6.5 * across, 4.0 * down), layout="constrained")
    for number, problem in enumerate(shown):
        axes = figure.add_subplot(down, across, number + 1)
        curves: dict[str, list[tuple[float, float]]] = {}
        for (variant, _), own in groups([r for r in rows if r["problem"] == problem.name]).items():
            done = [r for r in own if r["status"] == "ok"]
            if done:
                cpu = sum(r["train_cpu_s"] for r in done) / len(done)
                curves.setdefault(variant, []).append((cpu, geometric_mean(r["errors"][problem.metric] for r in done)))
        for place, (variant, points) in enumerate(sorted(curves.items())):
            marker, bold = "osD^vP*Xh<>8pd"[place % 14], variant == "default"
            x, y = zip(*sorted(points), strict=True)
            axes.plot(x, y, marker=marker, label=variant, color="black" if bold else None, zorder=3 if bold else 2)
        axes.set(xscale="log", yscale="log", xlabel="CPU time of training (s)", ylabel=_UNITS[problem.metric])
        for axis, (low, high) in ((axes.xaxis, axes.get_xlim()), (axes.yaxis, axes.get_ylim())):
            log_axis(axis, low, high)
        axes.set_title(problem.name)
        axes.legend(fontsize=7, loc="center left", bbox_to_anchor=(1.0, 0.5))
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150)
