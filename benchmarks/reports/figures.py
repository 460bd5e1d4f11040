"""Learning curves of stored runs, for a paper: error against the number of HF labels."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.reports.rows import CEILING, FLOOR, arms_of, regimes, runs_of, size_key
from benchmarks.reports.summary import SPLITS
from mfcore.errors import ConfigError
from mfcore.files import replacing
from mfcore.metrics.intervals import Interval, Runs, mean_interval, unit_means
from mfcore.metrics.learning_curve import fit_power_law

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from pandas import DataFrame

FORMATS = ("pdf", "svg", "png")
WIDTH_INCHES = 7.2
"""183 mm: two columns of a journal."""

METRICS = {
    "energy_mae_mev_per_atom": ("energy", "HF energy MAE (meV/atom)"),
    "energy_detrended_mae_mev_per_atom": ("energy_detrended", "HF energy MAE, detrended (meV/atom)"),
    "force_mae_mev_per_A": ("force", "HF force MAE (meV/Å)"),
}
PANELS = {"in_coverage": "in coverage", "out_of_coverage": "out of coverage"}

# Okabe and Ito's colours, which the colour-blind tell apart; arms of one family share a colour and differ by marker.
STYLES: dict[str, tuple[str, str, Any]] = {
    "single_fidelity": ("#000000", "o", "-"),
    "multi_fidelity": ("#D55E00", "s", "-"),
    "multi_head": ("#E69F00", "D", "-"),
    "transfer": ("#0072B2", "^", "-"),
    "transfer_frozen": ("#0072B2", "v", "--"),
    "transfer_replay": ("#56B4E9", "P", "-."),
    "delta_labels": ("#009E73", "X", "--"),
    "delta_model": ("#009E73", "*", "-"),
    FLOOR: ("#808080", "1", ":"),
    CEILING: ("#808080", "", "--"),
}
OTHERS: tuple[tuple[str, str, Any], ...] = (
    ("#CC79A7", "h", "-"),
    ("#CC79A7", "<", "--"),
    ("#F0E442", ">", "-"),
    ("#F0E442", "p", "--"),
)

RC: dict[Any, Any] = {
    "font.size": 8,
    "axes.labelsize": 8,
    "axes.titlesize": 8,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.fontsize": 7,
    "axes.linewidth": 0.6,
    "lines.linewidth": 1.0,
    "lines.markersize": 4.5,
    "pdf.fonttype": 42,  # TrueType, embedded
    "svg.fonttype": "path",  # glyphs as outlines: the same without the font
    "svg.hashsalt": "mfbench",
}


def figures(
    rows: DataFrame,
    folder: Path,
    *,
    formats: Sequence[str] = FORMATS,
    command: str | None = None,
) -> list[Path]:
    """Draw the learning curves of each regime and metric, a panel for each test split.

    Markers are means over runs, bars their 95 % intervals over draws (on the logarithmic scale), small dots the
    single draws, and lines the fitted power laws. Each file carries, as metadata, the number and the hash
    of the run keys that it is drawn from, the version and the command.

    Parameters
    ----------
    rows
        Long rows, as `mfbench run` stores them.
    folder
        Where files go; made if it is not there.
    formats
        Some of "pdf", "svg", "png".
    command
        What makes the figures again; default "mfbench figures DIR".

    Returns
    -------
    list of Path
        The files written.

    Raises
    ------
    ConfigError
        If no regime has two HF set sizes, or a format is unknown.
    """
    if unknown := set(formats) - set(FORMATS):
        raise ConfigError(f"figure format '{sorted(unknown)[0]}': expected some of {', '.join(FORMATS)}.")
    parts = list(regimes(rows))
    drawable = [(regime, part) for regime, part in parts if len(_sizes(part)) > 1]
    if not drawable:
        raise ConfigError(
            "no regime in these runs has two sizes of the HF set, so there is no learning curve to draw; "
            "`mfbench run standard` makes one."
        )
    folder.mkdir(parents=True, exist_ok=True)
    varying = [key for key in drawable[0][0] if key != "task" and len({regime[key] for regime, _ in drawable}) > 1]
    written: list[Path] = []
    for regime, part in drawable:
        measured = set(part["metric"])
        for metric, (short, label) in METRICS.items():
            if metric not in measured:
                continue
            name = "-".join(["learning-curve", regime["task"], *(regime[key] for key in varying), short])
            stem = re.sub(r"[^A-Za-z0-9_.-]+", "_", name)
            drawn = learning_curve_figure(part, metric, label)
            written += _save(drawn, folder / stem, formats, _metadata(name, part, command))
    return written


def learning_curve_figure(rows: DataFrame, metric: str, label: str) -> Figure:
    """Draw the learning curves of one regime and metric.

    Parameters
    ----------
    rows
        Rows of one regime, all its HF set sizes.
    metric
        Name of the metric in the rows.
    label
        Of the vertical axis, with the unit.
    """
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    scored = rows[rows["metric"] == metric]
    present = {str(split) for split in scored["split"] if split}
    splits = [name for name in SPLITS if name in present] + sorted(present - set(SPLITS))
    with rc_context(RC):
        figure = Figure(figsize=(WIDTH_INCHES, 2.9), layout="constrained")
        panels = figure.subplots(1, len(splits), sharey=True, squeeze=False)[0]
        handles: dict[str, Any] = {}
        estimates: list[float] = []
        for axes, split in zip(panels, splits, strict=True):
            drawn, means = _panel(axes, scored, split, metric)
            handles |= drawn
            estimates += means
            axes.set_title(PANELS.get(split, split))
            axes.set_xlabel("HF labels $n_\\mathrm{high}$")
        panels[0].set_ylabel(label)
        # Bars of two draws may be longer than any axis: the means set what is in view, with room around.
        panels[0].set_ylim(min(estimates) / 1.6, max(estimates) * 1.6)
        figure.legend(list(handles.values()), list(handles), loc="outside right center", frameon=False)
        figure.draw_without_rendering()  # lays out while the settings hold
    return figure


def _panel(axes: Axes, rows: DataFrame, split: str, metric: str) -> tuple[dict[str, Any], list[float]]:
    """Draw a split; returns the legend's handles by arm, and the means that must be in view."""
    from matplotlib.lines import Line2D
    from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullFormatter

    sizes = _sizes(rows)
    curved = [arm for arm in arms_of(rows) if arm != CEILING]
    extra = iter(OTHERS * len(curved))
    handles: dict[str, Any] = {}
    estimates: list[float] = []
    # Arms stand side by side, so that bars can be told from one another, over a third of the way between sizes.
    gap = 0.35 * math.log(min(b / a for a, b in pairwise(sizes))) / max(len(curved), 1)
    for index, arm in enumerate(curved):
        colour, marker, line = STYLES.get(arm) or next(extra)
        curve = {
            n: runs
            for n in sizes
            if (runs := _positive_runs(rows[rows["n_high"].astype(str) == str(n)], arm, split, metric))
        }
        if not curve:
            continue
        shift = math.exp(gap * (index - (len(curved) - 1) / 2))
        means = {n: _log_interval(runs) for n, runs in curve.items()}
        estimates += [interval.estimate for interval in means.values()]
        x = [n * shift for n in means]
        y = [interval.estimate for interval in means.values()]
        axes.plot(x, y, marker=marker, linestyle="none", color=colour, markeredgewidth=0.8, zorder=3)
        handles[arm] = Line2D([], [], marker=marker, linestyle=line, color=colour)
        for n, interval in means.items():
            if math.isfinite(interval.low):
                axes.plot([n * shift] * 2, [interval.low, interval.high], color=colour, linewidth=0.7, zorder=2)
                single = _draw_means(curve[n])
                axes.plot([n * shift] * len(single), single, ".", color=colour, markersize=1.8, alpha=0.6, zorder=2)
        if len(curve) > 1:
            law = _law(curve)
            if law is not None:
                ends = [min(curve), max(curve)]
                axes.plot(
                    [n * shift for n in ends],
                    [law(n) for n in ends],
                    linestyle=line,
                    color=colour,
                    linewidth=0.9,
                    alpha=0.8,
                    zorder=1,
                )
    if ceiling := _positive_runs(rows, CEILING, split, metric):
        colour, _, line = STYLES[CEILING]
        level = _log_interval(ceiling).estimate
        estimates.append(level)
        handles[f"{CEILING}\n(every HF label)"] = axes.axhline(level, color=colour, linestyle=line, linewidth=0.9)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.xaxis.set_major_locator(FixedLocator(sizes))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.xaxis.set_minor_locator(FixedLocator([]))
    axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.grid(True, linewidth=0.3, alpha=0.5)
    return handles, estimates


def _sizes(rows: DataFrame) -> list[int]:
    """HF set sizes of the arms that have a curve, ascending; "all" has no place on the axis."""
    found = {str(n) for n in rows.loc[rows["arm"] != CEILING, "n_high"]}
    return sorted(int(n) for n in found if math.isfinite(size_key(n)))


def _positive_runs(rows: DataFrame, arm: str, split: str, metric: str) -> Runs:
    """Runs that a logarithmic axis can show."""
    return {key: value for key, value in runs_of(rows, arm, split, metric).items() if value > 0.0}


def _log_interval(runs: Runs) -> Interval:
    """Geometric mean with its interval: what a logarithmic axis shows without bias, and never below zero."""
    logs = mean_interval({key: math.log(value) for key, value in runs.items()})
    low, high = (math.exp(min(bound, 700.0)) for bound in (logs.low, logs.high))
    return Interval(math.exp(logs.estimate), low, high, logs.level, logs.n_runs, logs.n_units, logs.over)


def _draw_means(runs: Runs) -> list[float]:
    means, _ = unit_means({key: math.log(value) for key, value in runs.items()})
    return [math.exp(value) for value in means]


def _law(curve: dict[int, Runs]) -> Any:
    """Fitted error as a function of n; None where no draw has every size."""
    try:
        law = fit_power_law(curve)
    except ValueError:
        return None
    return lambda n: law.error(n).estimate


def _metadata(title: str, rows: DataFrame, command: str | None) -> dict[str, str]:
    keys = sorted({str(key) for key in rows["run_key"]})
    digest = hashlib.sha256("\n".join(keys).encode()).hexdigest()
    try:
        made_by = f"mfbench {version('mfbench')}"
    except PackageNotFoundError:
        made_by = "mfbench"
    computed = ", ".join(sorted({str(v) for v in rows["mfbench_version"]})) if "mfbench_version" in rows else "unknown"
    return {
        "Title": title,
        "Creator": made_by,
        "Description": (
            f"{len(keys)} runs, sha256 of their sorted keys {digest}; computed by mfbench {computed}; "
            f"drawn by: {command or 'mfbench figures DIR'}"
        ),
    }


def _save(figure: Figure, stem: Path, formats: Sequence[str], metadata: dict[str, str]) -> list[Path]:
    """Write a figure in each format, to a temporary name first; the same rows give the same bytes."""
    from matplotlib import rc_context

    written = []
    for kind in formats:
        fields: dict[str, Any] = dict(metadata)
        if kind == "pdf":
            fields["Subject"] = fields.pop("Description")
            fields["CreationDate"] = None
        elif kind == "svg":
            fields["Date"] = None
        else:
            fields["Software"] = fields.pop("Creator")
        path = stem.with_name(f"{stem.name}.{kind}")
        with replacing(path) as temporary, rc_context(RC):
            figure.savefig(temporary, format=kind, dpi=300, metadata=fields)
        written.append(path)
    return written
