"""Times and costs of a plan in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mfbench.benchmarks.harness.cost_estimate import CostEstimate, Spending


def duration(seconds: float) -> str:
    """Say a time as people do: "40 s", "3 min", "2.5 h"."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    if seconds < 5400:
        return f"{round(seconds / 60)} min"
    return f"{seconds / 3600:.1f} h"


def summary_line(whole: CostEstimate, basis: str = "") -> str:
    """One line: runs, time, compute, labels."""
    spending = whole.spending
    parts = [f"{whole.runs} runs: {whole.stored} stored"]
    if whole.failed:
        parts.append(f"{whole.failed} failed before")
    parts.append(f"{spending.runs} to compute")
    line = ", ".join(parts)
    if not spending.runs:
        return line + "."
    processes = min(whole.workers, spending.runs)
    rests_on = _basis(spending, basis or "a first guess")
    noun = "process" if processes == 1 else "processes"
    line += f" in about {duration(spending.wall_s)} on {processes} {noun} ({rests_on})"
    compute = f"{amount(spending.atom_gradients / 1e6)} million atom gradients, {cpu_time(spending.cpu_s)}"
    return f"{line}; {compute}; labels {_labels(whole)}."


def _labels(whole: CostEstimate) -> str:
    """Cost of all labels; where one task does not know its own, by task."""
    if whole.label_cost_cpu_s is not None or len(whole.label_cost_cpu_s_by_task) == 1:
        return cpu_time(whole.label_cost_cpu_s)
    return ", ".join(f"of {name} {cpu_time(cost)}" for name, cost in whole.label_cost_cpu_s_by_task.items())


def _basis(spending: Spending, guess: str) -> str:
    if not spending.measured_runs:
        return guess
    return "from stored runs" if spending.measured_runs == spending.runs else f"from stored runs and {guess}"


def cpu_time(seconds: float | None) -> str:
    """CPU time with its unit; "not measured" if it is not known."""
    if seconds is None:
        return "not measured"
    return f"{amount(seconds)} CPU-s" if seconds < 3600 else f"{amount(seconds / 3600)} CPU-h"


def amount(value: float) -> str:
    """Write a number with three digits, or whole."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
