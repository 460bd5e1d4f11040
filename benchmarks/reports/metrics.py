"""The table of metrics: what each stored metric is called, its unit, and which way is better. All reports use it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

Better = Literal["lower", "higher", "nearer zero", ""]
"""Which way is better; "" where no way is: a diffusivity is compared with a reference, not ranked."""

Family = Literal["error", "rmse", "retention", "stability", "transport", "displacement", "mixing", "hull", "hull_more"]
"""Which table a metric stands in; of rmse, displacement and hull_more there is none."""


@dataclass(frozen=True)
class Metric:
    """What is known of a metric.

    Attributes
    ----------
    name
        In the rows; `{T}` stands for a temperature in K, `{element}` for an element in small letters, `{member}` for
        the formula of a compound, `{distance}` for one to the hull in meV/atom.
    title
        Short, for the head of a column.
    label
        Long, for an axis; without the unit.
    unit
        Of the stored value; "" for a number without one.
    better
        Which way is better.
    family
        The table that it stands in.
    shown_unit, scale
        What tables show: the value times `scale`, in `shown_unit`.
    """

    name: str
    title: str
    label: str
    unit: str
    better: Better
    family: Family
    shown_unit: str = ""
    scale: float = 1.0

    @property
    def axis(self) -> str:
        """Label of an axis, with the unit."""
        return f"{self.label} ({self.unit})" if self.unit else self.label


METRICS: tuple[Metric, ...] = (
    Metric("energy_mae_mev_per_atom", "E", "HF energy MAE", "meV/atom", "lower", "error"),
    Metric("energy_detrended_mae_mev_per_atom", "E*", "HF energy MAE, detrended", "meV/atom", "lower", "error"),
    Metric("force_mae_mev_per_A", "F", "HF force MAE", "meV/Å", "lower", "error"),
    Metric("stress_mae_gpa", "stress", "HF stress MAE", "GPa", "lower", "error"),
    Metric("energy_rmse_mev_per_atom", "E rmse", "HF energy RMSE", "meV/atom", "lower", "rmse"),
    Metric("force_rmse_mev_per_A", "F rmse", "HF force RMSE", "meV/Å", "lower", "rmse"),
    Metric("low_energy_mae_mev_per_atom", "LF E", "LF energy MAE", "meV/atom", "lower", "retention"),
    Metric("low_force_mae_mev_per_A", "LF F", "LF force MAE", "meV/Å", "lower", "retention"),
    Metric("md_survival_fraction_{T}K", "survived {T} K", "fraction survived at {T} K", "", "higher", "stability"),
    Metric("md_rmst_ps_{T}K", "RMST {T} K", "restricted mean survival time at {T} K", "ps", "higher", "stability"),
    Metric("nve_drift_mev_per_atom_per_ps", "NVE drift", "NVE energy drift", "meV/atom/ps", "nearer zero", "stability"),
    Metric(
        "transport_survival_fraction_{T}K", "survived {T} K", "fraction survived at {T} K", "", "higher", "transport"
    ),
    Metric(
        "li_diffusivity_cm2_per_s_{T}K",
        title="D(Li) {T} K",
        label="Li diffusivity at {T} K",
        unit="cm²/s",
        better="",
        family="transport",
        shown_unit="1e-6 cm²/s",
        scale=1e6,
    ),
    Metric("li_activation_energy_ev", "Ea(Li)", "Li activation energy", "eV", "", "transport"),
    Metric("li_conductivity_ms_per_cm_{T}K", "σ(Li) {T} K", "Li conductivity at {T} K", "mS/cm", "", "transport"),
    *(
        Metric(
            f"li_conductivity_{side}_ms_per_cm_{{T}}K",
            title=f"σ {side} {{T}} K",
            label=f"Li conductivity at {{T}} K, {word} bound",
            unit="mS/cm",
            better="",
            family="transport",
        )
        for side, word in (("low", "lower"), ("high", "upper"))
    ),
    Metric("{element}_msd_a2_{T}K", "MSD", "mean-squared displacement at {T} K", "Å²", "", "displacement"),
    Metric("mixing_energy_mae_mev_per_atom", "E MAE", "mixing energy MAE", "meV/atom", "lower", "mixing"),
    Metric("mixing_energy_r2", "R²", "mixing energy R²", "", "higher", "mixing"),
    Metric(
        "mixing_energy_unrelaxed_mae_mev_per_atom",
        title="unrelaxed MAE",
        label="mixing energy MAE, unrelaxed",
        unit="meV/atom",
        better="lower",
        family="mixing",
    ),
    Metric("mixing_n_failed", "lost", "relaxations that failed", "structures", "lower", "mixing"),
    Metric("bulk_modulus_mae_gpa", "B MAE", "bulk modulus MAE", "GPa", "lower", "mixing"),
    Metric("bulk_modulus_{member}_gpa", "B({member})", "bulk modulus of {member}", "GPa", "", "mixing"),
    Metric("equilibrium_volume_mae_percent", "V0 MAE", "equilibrium volume MAE", "%", "lower", "mixing"),
    Metric("hull_threshold_mev_per_atom", "limit", "distance of a stable one", "meV/atom", "", "hull"),
    Metric("hull_f1", "F1", "F1 of stability", "", "higher", "hull"),
    Metric("hull_precision", "precision", "precision of stability", "", "higher", "hull"),
    Metric("hull_recall", "recall", "recall of stability", "", "higher", "hull"),
    Metric("hull_daf", "DAF", "discovery acceleration factor", "", "higher", "hull"),
    Metric("hull_n_missing", "missing", "missing predictions", "structures", "lower", "hull"),
    # At thresholds beside the main one, F1 says enough for a table.
    Metric(
        "hull_f1_{distance}mev_per_atom",
        title="F1 {distance} meV",
        label="F1 of stability within {distance} meV/atom",
        unit="",
        better="higher",
        family="hull",
    ),
    *(
        Metric(
            f"hull_{name}_{{distance}}mev_per_atom",
            title=f"{title} {{distance}} meV",
            label=f"{label} within {{distance}} meV/atom",
            unit="",
            better="higher",
            family="hull_more",
        )
        for name, title, label in (
            ("precision", "precision", "precision of stability"),
            ("recall", "recall", "recall of stability"),
            ("daf", "DAF", "discovery acceleration factor"),
        )
    ),
)
"""In the order of tables."""

_NUMBER = r"\d+(?:\.\d+)?"
_BLANKS = {"T": _NUMBER, "distance": _NUMBER, "element": r"[a-z]{1,2}", "member": r"[A-Z][A-Za-z0-9]*"}


def _pattern(name: str) -> re.Pattern[str]:
    text = re.escape(name)
    for blank, values in _BLANKS.items():
        text = text.replace(rf"\{{{blank}\}}", f"(?P<{blank}>{values})")
    return re.compile(text)


_PATTERNS = [(_pattern(metric.name), metric) for metric in METRICS]


def metric_of(name: str) -> Metric | None:
    """Give what is known of a metric of the rows, its blanks filled in; None if it is not in the table."""
    found = _find(name)
    return found[2] if found else None


def of_family(names: Iterable[str], family: Family) -> list[Metric]:
    """Give those of the metrics named that stand in a family, lower temperatures and distances first."""
    found = (place for name in set(names) if (place := _find(name)))
    ordered = sorted(found, key=lambda place: (*place[:2], place[2].name))
    return [metric for _, _, metric in ordered if metric.family == family]


def _find(name: str) -> tuple[int, float, Metric] | None:
    """Place in the table, the number in its name (0 without one), and the metric."""
    for index, (pattern, metric) in enumerate(_PATTERNS):
        if match := pattern.fullmatch(name):
            blanks = match.groupdict()
            title, label = metric.title.format(**blanks), metric.label.format(**blanks)
            number = float(blanks.get("T", blanks.get("distance", 0.0)))
            return index, number, replace(metric, name=name, title=title, label=label)
    return None
