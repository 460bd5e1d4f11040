"""Molecular dynamics: many replicas in one batch beside ASE with one at a time, on the same core in the same process.

``python -m mfbench.benchmarks.performance.md_throughput`` prints a table; ``--out FILE`` keeps it as JSON. The network
is untrained and its landscape flat: it costs what a trained one costs, and nothing falls apart. ASE uses the calculator
that users get, which computes the stress of a cell beside its forces.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from mfbench.benchmarks.performance.harness.rounds import ratio_of
from mfbench.benchmarks.performance.harness.store import write_json
from mfbench.benchmarks.performance.measure import origin, spent
from mfbench.benchmarks.performance.workloads import argyrodite

if TYPE_CHECKING:
    from ase import Atoms

    from mfbench.mfcore.potentials.potential import Potential

REPLICAS = (1, 8, 64)
TEMPERATURE_K = 300.0
FRICTION_PER_PS = 5.0


def potential(channels: int = 32, n_layers: int = 2, lmax: int = 2, precision: str = "float32") -> Potential:
    """Return an untrained network for Li6PS5Cl, cutoff 5 Å."""
    import torch

    from mfbench.mfcore.cores.equivariant.config import EquivariantConfig
    from mfbench.mfcore.cores.equivariant.model import EquivariantCore
    from mfbench.mfcore.potentials.potential import Component, Potential
    from mfbench.mfcore.training.devices import DTYPES

    torch.manual_seed(0)
    config = EquivariantConfig(cutoff=5.0, n_layers=n_layers, lmax=lmax, channels=channels, radial_hidden=(32,))
    core = EquivariantCore(config, (3, 15, 16, 17), ("low", "high"), "one_hot", 28.0).to(dtype=DTYPES[precision])
    core.scale.fill_(1e-3)
    return Potential("untrained", [core.freeze()], {"high": (Component(0, "high"),)})


def batched(model: Potential, frames: Sequence[Atoms], steps: int) -> Any:
    """Run all frames in one batch; return the results."""
    from mfbench.mfcore.dynamics.engine import simulate
    from mfbench.mfcore.dynamics.models import PotentialForces
    from mfbench.mfcore.dynamics.settings import DynamicsSettings, starts

    settings = DynamicsSettings(duration_ps=steps / 1000, friction_per_ps=FRICTION_PER_PS)
    return simulate(PotentialForces(model), starts(frames, [TEMPERATURE_K]), settings)


def one_at_a_time(model: Potential, frames: Sequence[Atoms], steps: int) -> None:
    """Run frames one after another with ASE's Langevin dynamics and the potential's own calculator."""
    import numpy as np
    from ase import units
    from ase.md.langevin import Langevin

    for number, atoms in enumerate(frames):
        copy = atoms.copy()
        copy.calc = model.calculator()
        copy.set_momenta(np.zeros((len(copy), 3)))
        Langevin(
            copy,
            units.fs,
            temperature_K=TEMPERATURE_K,
            friction=FRICTION_PER_PS / (1000 * units.fs),
            fixcm=False,
            rng=np.random.default_rng(number),
        ).run(steps)


def compare(model: Potential, n_replicas: int, steps: int, rounds: int) -> dict[str, float]:
    """Time both ways by turns, and return medians over rounds.

    ASE runs as many replicas as take about as long as the batch does, at most four.
    """
    frames = [argyrodite(seed, primitive=True) for seed in range(n_replicas)]
    few, size = frames[:4], len(frames[0])
    batched(model, frames, 2)
    one_at_a_time(model, few[:1], 2)
    ours, theirs = [], []
    for _ in range(rounds):
        ours.append(size * n_replicas * steps / spent(lambda: batched(model, frames, steps)).cpu_s)
        theirs.append(size * len(few) * steps / spent(lambda: one_at_a_time(model, few, steps)).cpu_s)
    return {
        "replicas": n_replicas,
        "atoms": size,
        "steps": steps,
        "batched_atom_steps_per_cpu_s": median(ours),
        "ase_atom_steps_per_cpu_s": median(theirs),
        **ratio_of(ours, theirs).as_dict(),
    }


def table(lines: Sequence[dict[str, float]]) -> str:
    """Return the comparison as text."""
    out = ["replicas   batched        ASE   ratio (min-max)", "           atom-steps per CPU-s"]
    for line in lines:
        out.append(
            f"{line['replicas']:8.0f}  {line['batched_atom_steps_per_cpu_s']:8.0f}   "
            f"{line['ase_atom_steps_per_cpu_s']:8.0f}   {line['ratio']:5.2f} "
            f"({line['ratio_min']:.2f}-{line['ratio_max']:.2f})"
        )
    return "\n".join(out)


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line."""
    import torch

    parser = argparse.ArgumentParser(prog="python -m mfbench.benchmarks.performance.md_throughput", description=__doc__)
    parser.add_argument("--replicas", type=int, nargs="+", default=list(REPLICAS), metavar="N", help="in a batch")
    parser.add_argument("--steps", type=int, default=100, help="steps of each replica (default 100)")
    parser.add_argument("--rounds", type=int, default=3, help="both ways by turns, medians are given (default 3)")
    parser.add_argument("--channels", type=int, default=32, help="channels of the network (default 32)")
    parser.add_argument("--threads", type=int, default=1, help="threads (default 1)")
    parser.add_argument("--out", type=Path, help="file for the results, JSON")
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    model = potential(options.channels)
    lines = [compare(model, n, options.steps, options.rounds) for n in options.replicas]
    print(table(lines))
    if options.out is not None:
        content = {
            **origin(("ase", "torch", "vesin")),
            "threads": options.threads,
            "core": model.cores[0].config.model_dump(mode="json"),
            "results": lines,
        }
        write_json(options.out, content)


if __name__ == "__main__":
    main()
