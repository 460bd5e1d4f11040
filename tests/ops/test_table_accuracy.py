"""A trained network on its spline table, against the same network evaluated on every edge."""

from __future__ import annotations

import numpy as np
import torch
from ase import Atoms

from mfbench.mfcore.cores.equivariant.config import EquivariantConfig
from mfbench.mfcore.cores.equivariant.model import EquivariantCore
from mfbench.mfcore.data.batch import Batch
from mfbench.mfcore.data.frames import set_labels
from mfbench.mfcore.data.graphs import GraphStore
from tests.conftest import HIGH, pair_labels

SPECIES = (1, 8)


def clusters(n: int) -> list[Atoms]:
    """Clusters of six atoms at all distances from 0.9 Å on, with Morse labels."""
    rng = np.random.default_rng(0)
    frames = []
    while len(frames) < n:
        atoms = Atoms("O2H4", rng.uniform(0, 3.0, (6, 3)))
        if atoms.get_all_distances()[np.triu_indices(6, 1)].min() > 0.9:
            energy, forces = pair_labels(atoms, HIGH)
            constant, _ = pair_labels(Atoms("O2H4", 50.0 * np.arange(18).reshape(6, 3)), HIGH)
            set_labels(atoms, HIGH, energy=energy - constant, forces=forces)
            frames.append(atoms)
    return frames


def trained(store: GraphStore) -> tuple[EquivariantCore, list[float]]:
    """A network after 150 steps, and its loss at each."""
    torch.manual_seed(0)
    core = EquivariantCore(EquivariantConfig(n_layers=2, lmax=1, channels=16), SPECIES, (HIGH,), "none", 5.0)
    parameters = [p for p in core.parameters() if p.requires_grad]
    optimizer = torch.optim.Adam(parameters, lr=0.01)
    rng, losses = np.random.default_rng(0), []
    for _ in range(150):
        batch = store.batch(rng.integers(0, 80, 8)).to("cpu", torch.float32)
        found = core(batch, create_graph=True)
        assert found.forces is not None
        loss = ((found.energy - batch.energy) / 6).square().mean() + (found.forces - batch.forces).square().mean()
        optimizer.zero_grad()
        loss.backward(inputs=parameters)  # type: ignore[no-untyped-call]
        optimizer.step()
        losses.append(float(loss.detach()))
    return core, losses


def like(core: EquivariantCore, **changes: object) -> EquivariantCore:
    """The same parameters in float64 under another configuration."""
    description = core.description()
    description["config"] |= changes
    other = EquivariantCore.from_description(description)
    other.load_state_dict(core.state_dict())
    return other.to(dtype=torch.float64)


def difference(a: EquivariantCore, b: EquivariantCore, batch: Batch) -> tuple[float, float]:
    """Largest difference of energies (meV/atom), and mean difference of force components (meV/Å)."""
    x, y = a(batch), b(batch)
    assert x.forces is not None
    assert y.forces is not None
    return 1e3 * float((x.energy - y.energy).abs().max()) / 6, 1e3 * float((x.forces - y.forces).abs().mean())


def test_the_default_table_of_a_trained_network_is_as_good_as_the_network() -> None:
    store = GraphStore(clusters(110), [HIGH] * 110, (HIGH,), None, SPECIES, 5.0)
    core, losses = trained(store)
    assert np.mean(losses[-20:]) < 0.1 * np.mean(losses[:20])
    batch = store.batch(np.arange(80, 110)).to("cpu", torch.float64)
    exact = like(core, radial_mode="exact")
    energy, force = difference(like(core), exact, batch)
    assert energy < 0.1
    assert force < 0.5
    # the knots are what it takes: a quarter of them is not enough
    assert difference(like(core, n_knots=32), exact, batch)[1] > 0.5
