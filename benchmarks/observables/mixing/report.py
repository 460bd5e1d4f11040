"""Bulk moduli of the HF labels themselves: equations of state of end members, from the detail `eos`."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pandas import DataFrame


def moduli(table: DataFrame) -> dict[str, float]:
    """Bulk moduli of the HF reference in GPa, by the name of the metric.

    Parameters
    ----------
    table
        The detail `eos`; every run has the same reference energies.
    """
    from mfbench.mfcore.metrics.mixing import equations_of_state

    columns = ["member", "volume_a3_per_atom", "energy_ref_ev_per_atom"]
    distinct = table[columns].drop_duplicates()
    fits = equations_of_state(*(distinct[name].tolist() for name in columns))
    return {f"bulk_modulus_{member}_gpa": fit.bulk_modulus_gpa for member, fit in fits.items() if fit is not None}
