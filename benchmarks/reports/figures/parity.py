"""Predictions against references, a panel for each arm."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from mfbench.benchmarks.reports.arms import in_order
from mfbench.benchmarks.reports.figures.base import Drawing, NothingToDraw, Source
from mfbench.benchmarks.reports.figures.style import PANELS, Style, label_of
from mfbench.benchmarks.reports.numbers import number
from mfbench.benchmarks.reports.results import SPLITS
from mfbench.mfcore.metrics.intervals import Array

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from pandas import DataFrame

ACROSS = 5
"""Panels in a row."""

FEW = 1500
"""Up to so many points in a panel they are drawn one by one, else counted in hexagons."""

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7")
"""Of the test splits, where points are drawn one by one."""


def draw(source: Source, style: Style) -> Iterator[Drawing]:
    """Draw each regime, HF set size and fidelity: one figure of energies and one of forces.

    Energies are relative to the mean reference energy of their group (a molecule, a trajectory block), per atom:
    without it the composition would be all that one sees. All runs of an arm are in its panel.
    """
    drawn = False
    for cell in source.cells():
        table = cell.detail("predictions")
        rows = cell.rows[cell.rows["run_key"].isin(set(table["run_key"]))]
        for fidelity in sorted(set(table["fidelity"])):
            part = table[table["fidelity"] == fidelity]
            for what, pairs_of, label in (
                ("energy", energies, "energy less the mean of its group (meV/atom)"),
                ("force", forces, "force component (eV/Å)"),
            ):
                pairs = {
                    arm: found
                    for arm in in_order(part["arm"])
                    if (found := _by_split(part[part["arm"] == arm], pairs_of))
                }
                if pairs:
                    drawn = True
                    name = source.name("parity", cell.regime, str(fidelity), what, f"n_high_{cell.n_high}")
                    unit = (1.0, "meV/atom") if what == "energy" else (1000.0, "meV/Å")
                    yield Drawing(name, _figure(pairs, f"{label}, fidelity '{fidelity}'", unit, style), rows)
    if not drawn:
        raise NothingToDraw("no run has kept its predictions.")


def energies(table: DataFrame) -> tuple[Array, Array]:
    """Reference and prediction in meV/atom, both less the mean reference of the frame's group."""
    known = table[
        np.isfinite(table["energy_ref_ev"].astype(float)) & np.isfinite(table["energy_pred_ev"].astype(float))
    ]
    atoms = known["n_atoms"].to_numpy(dtype=float)
    reference = known["energy_ref_ev"].to_numpy(dtype=float) / atoms * 1000.0
    predicted = known["energy_pred_ev"].to_numpy(dtype=float) / atoms * 1000.0
    groups = known["group"].to_numpy()
    alone = len(known.drop_duplicates("structure_id")) < 2 * len(set(groups))
    names = np.zeros(len(known)) if alone else groups
    for name in set(names):
        here = names == name
        middle = reference[here].mean()
        reference[here] -= middle
        predicted[here] -= middle
    return reference, predicted


def forces(table: DataFrame) -> tuple[Array, Array]:
    """Components of reference and prediction in eV/Å, of the frames that have both."""
    both = [
        (ref, pred) for ref, pred in zip(table["force_ref"], table["force_pred"], strict=True) if len(ref) == len(pred)
    ]
    columns = [
        np.concatenate([np.asarray(pair[i], dtype=np.float64) for pair in both] or [np.empty(0)]) for i in (0, 1)
    ]
    return columns[0], columns[1]


def _by_split(table: DataFrame, pairs_of: object) -> dict[str, tuple[Array, Array]]:
    assert callable(pairs_of)
    names = [name for name in SPLITS if name in set(table["split"])]
    names += sorted(set(table["split"]) - set(names))
    found = {name: pairs_of(table[table["split"] == name]) for name in names}
    return {name: pair for name, pair in found.items() if len(pair[0])}


def _figure(
    pairs: dict[str, dict[str, tuple[Array, Array]]], label: str, unit: tuple[float, str], style: Style
) -> Figure:
    from matplotlib.lines import Line2D

    across = min(ACROSS, len(pairs)) if len(pairs) > 2 else len(pairs)
    down = math.ceil(len(pairs) / across)
    wide = len(pairs) > 2
    width = (183.0 if wide else 89.0) / across
    counted = max(sum(len(pair[0]) for pair in found.values()) for found in pairs.values()) > FEW
    figure = style.figure(
        "double" if wide else "single",
        (width - (5.0 if counted else 3.0 if wide else 8.0)) * down + (20.0 if counted else 22.0),
    )
    panels = figure.subplots(down, across, sharex=True, sharey=True, squeeze=False)
    everything = np.concatenate([np.concatenate(pair) for found in pairs.values() for pair in found.values()])
    low, high = float(np.min(everything)), float(np.max(everything))
    # Predictions that went astray would leave no room for the rest: the references set what is in view.
    references = np.concatenate([pair[0] for found in pairs.values() for pair in found.values()])
    reach = float(np.ptp(references)) or 1.0
    low, high = max(low, references.min() - 0.5 * reach), min(high, references.max() + 0.5 * reach)
    margin = 0.04 * (high - low) or 1.0  # all forces may be zero
    limits = (low - margin, high + margin)
    splits = list(dict.fromkeys(name for found in pairs.values() for name in found))
    for place, axes in enumerate(panels.flat):
        if place >= len(pairs):
            axes.set_axis_off()
            continue
        arm = list(pairs)[place]
        _panel(axes, pairs[arm], splits, limits, counted, unit, style)
        axes.set_title(label_of(arm))
        if place + across >= len(pairs):
            axes.tick_params(labelbottom=True)
    figure.supxlabel(f"reference {label}", fontsize=style.font_pt)
    figure.supylabel("prediction", fontsize=style.font_pt)
    if counted:
        most = max(float(axes.collections[0].get_array().max()) for axes in panels.flat if axes.collections)
        for axes in panels.flat:
            for hexagons in axes.collections:
                hexagons.set_clim(1.0, max(most, 2.0))
        figure.colorbar(panels.flat[0].collections[0], ax=panels, label="count", pad=0.01, aspect=30)
    elif len(splits) > 1:
        handles = [
            Line2D([], [], marker="os^v"[i % 4], color=COLOURS[i % 4], linestyle="none", markersize=3.0 * style.scale)
            for i in range(len(splits))
        ]
        words = [PANELS.get(split, split) for split in splits]
        figure.legend(handles, words, loc="outside upper center", ncols=len(splits))
    return figure


def _panel(
    axes: Axes,
    pairs: dict[str, tuple[Array, Array]],
    splits: list[str],
    limits: tuple[float, float],
    counted: bool,
    unit: tuple[float, str],
    style: Style,
) -> None:
    from matplotlib.colors import LogNorm
    from matplotlib.ticker import MaxNLocator

    axes.plot(limits, limits, color="#606060", linewidth=style.thin(0.6), zorder=1)
    if counted:
        x, y = (np.concatenate([pair[i] for pair in pairs.values()]) for i in (0, 1))
        extent = (*limits, *limits)
        shape: dict[str, Any] = {"gridsize": 36, "extent": extent, "mincnt": 1, "linewidths": 0.1}
        axes.hexbin(x, y, norm=LogNorm(), cmap="viridis", zorder=2, **shape)
    else:
        for split, (x, y) in pairs.items():
            i = splits.index(split)
            marks: dict[str, Any] = {
                "markersize": 1.8 * style.scale,
                "alpha": 0.5,
                "markeredgewidth": 0.0,
                "zorder": 2 + i,
            }
            axes.plot(x, y, "os^v"[i % 4], color=COLOURS[i % 4], **marks)
    scale, name = unit
    lines = []
    for split, (x, y) in pairs.items():
        short = f"{SPLITS.get(split, split)} " if len(splits) > 1 else ""
        lines.append(f"{short}{number(scale * float(np.abs(x - y).mean()))}")
    words = "MAE\n" + "\n".join(lines) + f"\n{name}"
    small: dict[str, Any] = {"fontsize": 0.75 * style.font_pt, "va": "top", "ha": "left", "linespacing": 1.1}
    small["bbox"] = {"facecolor": "white", "alpha": 0.7, "linewidth": 0.0, "pad": 1.0}
    axes.text(0.04, 0.97, words, transform=axes.transAxes, zorder=5, **small)
    axes.set_xlim(limits)
    axes.set_ylim(limits)
    axes.set_aspect("equal")
    axes.xaxis.set_major_locator(MaxNLocator(3))
    axes.yaxis.set_major_locator(MaxNLocator(3))
