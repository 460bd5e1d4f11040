"""Diffusion of an ion in a potential's own dynamics."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from ase import Atoms

from mfbench.benchmarks.observables.base import DetailTables, Observable, Words
from mfbench.benchmarks.observables.declarations import Metric, Section
from mfbench.benchmarks.observables.dynamics import criteria_of
from mfbench.benchmarks.observables.evaluation import Evaluation
from mfbench.benchmarks.observables.transport.analysis import measure
from mfbench.benchmarks.observables.transport.plan import TransportPlan
from mfbench.mfcore.errors import ConfigError
from mfbench.mfcore.provenance import frames_hash

if TYPE_CHECKING:
    from mfbench.benchmarks.tasks.base import Split, Task
    from mfbench.mfcore.potentials.potential import Potential


class Transport(Observable[TransportPlan]):
    """Diffusivity, activation energy and conductivity of an ion."""

    name = "transport"
    summary = "diffusivity, activation energy and conductivity of an ion, from dynamics at several temperatures"
    plan_class = TransportPlan
    rank = 20
    sources = (
        "mfbench.benchmarks.observables.dynamics",
        "mfbench.benchmarks.observables.transport.analysis",
        "mfbench.benchmarks.observables.transport.plan",
        "mfbench.mfcore.dynamics",
        "mfbench.mfcore.metrics.transport",
    )
    metrics = (
        Metric(
            "transport_survival_fraction_{T}K",
            "survived {T} K",
            "fraction survived at {T} K",
            "",
            "higher",
            "transport",
        ),
        Metric(
            "{element}_diffusivity_cm2_per_s_{T}K",
            title="D({element}) {T} K",
            label="{element} diffusivity at {T} K",
            unit="cm²/s",
            better="",
            family="transport",
            shown_unit="1e-6 cm²/s",
            scale=1e6,
        ),
        Metric("{element}_activation_energy_ev", "Ea({element})", "{element} activation energy", "eV", "", "transport"),
        Metric(
            "{element}_conductivity_ms_per_cm_{T}K",
            title="σ({element}) {T} K",
            label="{element} conductivity at {T} K",
            unit="mS/cm",
            better="",
            family="transport",
        ),
        *(
            Metric(
                f"{{element}}_conductivity_{side}_ms_per_cm_{{T}}K",
                title=f"σ {side} {{T}} K",
                label=f"{{element}} conductivity at {{T}} K, {word} bound",
                unit="mS/cm",
                better="",
                family="transport",
            )
            for side, word in (("low", "lower"), ("high", "upper"))
        ),
        Metric("{element}_msd_a2_{T}K", "MSD", "mean-squared displacement at {T} K", "Å²", "", "displacement"),
    )
    details: ClassVar[Mapping[str, Mapping[str, str]]] = {
        "transport": {
            "temperature_k": "float64",
            "replica": "int64",
            "species": "str",
            "diffusivity_cm2_per_s": "float64",
            "diffusivity_stderr_cm2_per_s": "float64",
            "n_blocks": "int64",
            "time_ps": "float64",
            "survived": "bool",
        },
        # Mean-squared displacement of each element against the lag, mean over the surviving replicas of a temperature.
        "msd": {
            "temperature_k": "float64",
            "species": "str",
            "lag_ps": "float64",
            "msd_a2": "float64",
            "n_replicas": "int64",
        },
    }
    sections = (
        Section(
            "transport",
            "transport",
            "D: from replicas that survived, where the ion moves; Ea: activation energy, σ: Nernst-Einstein "
            "conductivity extrapolated by it; σ low, σ high: bounds of its 95 % interval within a run.",
        ),
    )
    figures: ClassVar[Mapping[str, str]] = {
        "arrhenius": "mfbench.benchmarks.observables.transport.arrhenius_figure",
        "msd": "mfbench.benchmarks.observables.transport.msd_figure",
    }

    def identity(self, task: Task, plan: TransportPlan) -> dict[str, Any]:
        """Hash the cells that dynamics starts from."""
        return {"cells": frames_hash(transport_cells(task, plan))}

    def measure(
        self, potential: Potential, task: Task, split: Split, plan: TransportPlan, seed: int, workdir: Path
    ) -> Evaluation:
        """Run the dynamics, see :func:`transport`."""
        return transport(potential, task, plan, seed, workdir)

    def words(self, family: str, details: DetailTables) -> Words:
        """Count the replicas that survived."""
        from mfbench.benchmarks.observables.transport.report import survivors

        return survivors(details("transport"))


def transport_cells(task: Task, plan: TransportPlan) -> list[Atoms]:
    """Cells of a task that a plan's dynamics starts from.

    A task with such cells has a method `transport_frames()` that returns them: periodic, labels are not needed.

    Raises
    ------
    ConfigError
        If the task has none, or one that is not periodic or lacks the species.
    """
    given = getattr(task, "transport_frames", None)
    cells: list[Atoms] = [] if given is None else list(given())
    if not cells:
        raise ConfigError("this task has no cells to see ions diffuse in; remove the key.")
    for number, atoms in enumerate(cells):
        if not atoms.pbc.all() or plan.species not in atoms.get_chemical_symbols():
            name = atoms.info.get("structure_id", number)
            raise ConfigError(f"cell '{name}': expected a periodic cell with {plan.species} in it.")
    return cells


def transport(potential: Potential, task: Task, plan: TransportPlan, seed: int, workdir: Path) -> Evaluation:
    """Run the dynamics of a plan on a potential, all cells, temperatures and replicas in one batch.

    Parameters
    ----------
    workdir
        Where trajectories and a checkpoint are kept; a call that was cut off goes on.

    Returns
    -------
    Evaluation
        See :func:`mfbench.benchmarks.observables.transport.analysis.measure`.
        Nothing for a potential that needs calculations of a lower level with every step.

    Raises
    ------
    ConfigError
        If the task has no cells for it.
    """
    from mfbench.mfcore.dynamics.engine import simulate
    from mfbench.mfcore.dynamics.models import PotentialForces
    from mfbench.mfcore.dynamics.settings import starts

    if potential.requires_low_labels:
        return Evaluation([])
    cells = transport_cells(task, plan)
    model = PotentialForces(potential, watch=False)  # close pairs are counted as failures
    run = simulate(
        model,
        starts(cells, plan.temperatures_k, plan.replicas),
        plan.settings,
        criteria_of(task, plan, cells),
        seed=seed,
        # A training that was cut off may end elsewhere: its dynamics must not go on from another potential's.
        out=workdir / f"transport-{model.fingerprint()[:16]}",
        trajectories=True,
        wall_limit_s=plan.wall_limit_s,
    )
    return measure(run, plan)
