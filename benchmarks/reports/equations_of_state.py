"""What the HF labels themselves say of end members: equations of state from the detail `eos`."""

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
    from mfcore.metrics.mixing import equation_of_state

    columns = ["volume_a3_per_atom", "energy_ref_ev_per_atom"]
    found = {}
    for member, part in table.groupby("member"):
        volumes, energies = part.drop_duplicates(columns)[columns].to_numpy(dtype=float).T
        fit = equation_of_state(volumes, energies)
        if fit is not None:
            found[f"bulk_modulus_{member}_gpa"] = fit.bulk_modulus_gpa
    return found
