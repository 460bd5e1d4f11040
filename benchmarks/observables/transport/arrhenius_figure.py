"""Diffusivity against inverse temperature, with the activation energy of each arm."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mfbench.benchmarks.reports.arms import in_order
from mfbench.benchmarks.reports.figures.base import Drawing, NothingToDraw, Source
from mfbench.benchmarks.reports.figures.points import by_run, levels, log_interval
from mfbench.benchmarks.reports.figures.style import Style, handle, label_of, log_axis, looks, size_of
from mfbench.benchmarks.reports.numbers import with_error
from mfbench.benchmarks.reports.results import Part
from mfbench.mfcore.metrics.intervals import Interval, mean_interval, t_interval
from mfbench.mfcore.metrics.transport import BOLTZMANN_EV_PER_K

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from pandas import DataFrame


@dataclass(frozen=True)
class Line:
    """ln D = intercept + slope · 1000 K / T, a fit for each run.

    Attributes
    ----------
    runs
        (draw, seed) of each run that has at least two temperatures.
    intercepts, slopes
        Of each of them.
    """

    runs: tuple[tuple[int, int], ...]
    intercepts: tuple[float, ...]
    slopes: tuple[float, ...]

    @property
    def activation_ev(self) -> Interval:
        """Activation energy in eV, over runs."""
        energies = (-1000.0 * BOLTZMANN_EV_PER_K * slope for slope in self.slopes)
        return mean_interval(dict(zip(self.runs, energies, strict=True)))

    def at(self, inverse: float) -> tuple[float, float, float]:
        """Diffusivity at 1000 K / T in the unit of the data: geometric mean over runs and its interval."""
        values = {run: a + b * inverse for run, a, b in zip(self.runs, self.intercepts, self.slopes, strict=True)}
        found = mean_interval(values)
        return tuple(math.exp(min(bound, 700.0)) for bound in (found.estimate, found.low, found.high))  # type: ignore[return-value]


def draw(source: Source, style: Style) -> Iterator[Drawing]:
    """Draw each regime, HF set size and species; only replicas that survived enter, and their number is said."""
    drawn = False
    for cell in source.cells():
        table = cell.detail("transport")
        for species in sorted(set(table["species"])):
            part = table[table["species"] == species]
            kept = part[part["survived"].astype(bool) & (part["diffusivity_cm2_per_s"] > 0.0)]
            kept = kept[_moves(kept, cell.rows, str(species))]
            if kept["temperature_k"].nunique() > 1:
                drawn = True
                name = source.name("arrhenius", cell.regime, str(species), f"n_high_{cell.n_high}")
                runs = cell.of_runs(part["run_key"])
                yield Drawing(name, _figure(part, kept, str(species), runs, style), runs.rows)
    if not drawn:
        raise NothingToDraw("no run has diffusivities at two temperatures from replicas that survived.")


def fit(table: DataFrame) -> Line:
    """Fit each run's ln D against 1000 K / T by least squares, replicas averaged at each temperature.

    Parameters
    ----------
    table
        Lines of the detail `transport` of one arm and species, of replicas that survived.
    """
    runs, intercepts, slopes = [], [], []
    at = {kelvin: by_run(part, "diffusivity_cm2_per_s") for kelvin, part in levels(table, "temperature_k")}
    for run in sorted({run for means in at.values() for run in means}):
        means = {1000.0 / kelvin: math.log(found[run]) for kelvin, found in at.items() if run in found}
        if len(means) > 1:
            slope, intercept = np.polyfit(list(means), list(means.values()), 1)
            runs.append(run)
            intercepts.append(float(intercept))
            slopes.append(float(slope))
    return Line(tuple(runs), tuple(intercepts), tuple(slopes))


def _moves(table: DataFrame, rows: DataFrame, species: str) -> list[bool]:
    """Mark the lines at whose temperature a diffusivity was scored: where ions only rattle, its sign is chance."""
    if not rows["metric"].astype(str).str.startswith("transport_survival_fraction").any():
        return [True] * len(table)  # rows that do not say
    scored = set(zip(rows["run_key"], rows["metric"], strict=True))
    metric = f"{species.lower()}_diffusivity_cm2_per_s"
    return [
        (key, f"{metric}_{kelvin:g}K") in scored
        for key, kelvin in zip(table["run_key"], table["temperature_k"], strict=True)
    ]


def _activation(part: Part, arm: str, species: str, line: Line) -> Interval:
    """Activation energy in eV as the tables have it; where rows do not, that of the lines drawn."""
    stored = part.runs(arm, "md", f"{species.lower()}_activation_energy_ev")
    return mean_interval(stored) if stored else line.activation_ev


def _figure(table: DataFrame, kept: DataFrame, species: str, runs: Part, style: Style) -> Figure:
    look_of = looks(in_order(table["arm"]))
    figure = style.figure("double", max(78.0, 10.0 + 8.5 * len(look_of)))
    axes = figure.subplots()
    axes.set_yscale("log")
    handles, labels = [], []
    inverses = 1000.0 / kept["temperature_k"].to_numpy(dtype=float)
    span = float(inverses.max() - inverses.min())
    for index, (arm, look) in enumerate(look_of.items()):
        of_arm = table[table["arm"] == arm]
        good = kept[kept["arm"] == arm]
        words = f"{label_of(arm)}: {int(of_arm['survived'].astype(bool).sum())}/{len(of_arm)} survived"
        if len(good):
            aside = (index - (len(look_of) - 1) / 2) * 0.006 * span
            _points(axes, good, look.colour, look.marker, aside, style)
            line = fit(good)
            if line.runs:
                _line(axes, line, (float(inverses.min()), float(inverses.max())), look.colour, look.line, style)
                energy = _activation(runs, arm, species, line)
                words += f"\n$E_\\mathrm{{a}}$ = {with_error(energy.estimate, energy.half_width)} eV"
        handles.append(handle(look))
        labels.append(words)
    low, high = kept["diffusivity_cm2_per_s"].min(), kept["diffusivity_cm2_per_s"].max()
    axes.set_ylim(float(low) / 2.0, float(high) * 2.0)
    axes.set_xlabel("1000 K / $T$")
    axes.set_ylabel(f"$D$({species}) (cm²/s)")
    axes.grid(True)
    log_axis(axes.yaxis, float(low) / 2.0, float(high) * 2.0)
    _temperatures(axes, sorted(set(kept["temperature_k"])))
    figure.legend(handles, labels, loc="outside right center", labelspacing=0.6)
    return figure


def _points(axes: Axes, table: DataFrame, colour: str, marker: str, aside: float, style: Style) -> None:
    for kelvin, part in levels(table, "temperature_k"):
        interval = log_interval(by_run(part, "diffusivity_cm2_per_s"))
        x = 1000.0 / kelvin + aside
        low, high = interval.low, interval.high
        if not math.isfinite(low):  # one run: the replicas tell how well its own diffusivity is known
            values = part["diffusivity_cm2_per_s"].to_numpy(dtype=float)
            low, high = t_interval(values)
            low = max(low, 1e-300) if math.isfinite(low) else low
        if math.isfinite(low):
            axes.plot([x, x], [low, high], color=colour, linewidth=style.thin(), zorder=2)
        size = size_of(marker, 4.0 * style.scale)
        axes.plot([x], [interval.estimate], marker, color=colour, markersize=size, zorder=3)


def _line(axes: Axes, line: Line, ends: tuple[float, float], colour: str, dash: Any, style: Style) -> None:
    x = np.linspace(*ends, 25)
    middle, low, high = np.array([line.at(float(value)) for value in x]).T
    axes.plot(x, middle, color=colour, linestyle=dash, linewidth=style.thin(0.9), zorder=1)
    if np.isfinite(low).all():
        axes.fill_between(x, low, high, color=colour, alpha=0.10, linewidth=0.0, zorder=0)


def _temperatures(axes: Axes, temperatures: list[float]) -> None:
    """Add the temperatures at the top."""
    top = axes.secondary_xaxis("top")
    top.set_xticks([1000.0 / kelvin for kelvin in temperatures], [f"{kelvin:g}" for kelvin in temperatures])
    top.set_xlabel("$T$ (K)")
