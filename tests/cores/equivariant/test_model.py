"""Physics of our core beside the contract: its repulsion, its readout, and frames that it refuses."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from ase import Atoms

from mfbench.mfcore.core import Conditioning, CoreOutput
from mfbench.mfcore.cores.equivariant.config import EquivariantConfig
from mfbench.mfcore.cores.equivariant.model import EquivariantCore
from mfbench.mfcore.data.graphs import GraphStore
from tests.contracts.core_cases import FIDELITIES, SPECIES, argyrodite, ethanol


def make_core(conditioning: Conditioning = "one_hot", **changes: object) -> EquivariantCore:
    torch.manual_seed(11)
    settings = {"cutoff": 4.0, "channels": 8, "n_layers": 3, "lmax": 2, "radial_hidden": (16,), "zbl": True}
    core = EquivariantCore(EquivariantConfig(**(settings | changes)), SPECIES, FIDELITIES, conditioning, 12.0)
    return core.to(dtype=torch.float64)


def evaluate(core: EquivariantCore, frames: list[Atoms], fidelity: str = "high") -> CoreOutput:
    store = GraphStore(frames, [fidelity] * len(frames), FIDELITIES, None, SPECIES, core.config.cutoff)
    return core(store.batch(np.arange(len(frames))).to("cpu", torch.float64), stress=True)


@pytest.mark.parametrize("conditioning", ["none", "one_hot", "heads"])
def test_a_smaller_readout_is_the_same_network_with_smaller_forces(conditioning: Conditioning) -> None:
    """The last matrix alone is scaled, and forces are linear in it: exactly half the forces from half the matrix."""
    full, half = (make_core(conditioning, zbl=False, readout_scale=s) for s in (1.0, 0.5))
    changed = [n for n, p in full.named_parameters() if not torch.equal(p, half.get_parameter(n))]
    assert changed == ["readout.out"]
    assert make_core(conditioning).readout.out.equal(full.readout.out)
    before, after = (evaluate(core, [argyrodite()]).forces for core in (full, half))
    assert torch.allclose(after, 0.5 * before, rtol=1e-10, atol=1e-12 * float(before.abs().max()))
    assert float(before.abs().max()) > 1e-3


def test_the_readout_does_not_start_at_zero() -> None:
    with pytest.raises(ValueError, match="readout_scale"):
        EquivariantConfig(readout_scale=0.0)


def test_the_nuclei_repel_at_short_range() -> None:
    with_zbl = make_core(zbl=True)
    without = make_core(zbl=False)
    without.load_state_dict(with_zbl.state_dict())
    close = [Atoms("CO", [[0, 0, 0], [0, 0, 0.3]])]
    difference = float((evaluate(with_zbl, close).energy - evaluate(without, close).energy)[0])
    # universal screening function by hand: a = 0.8854 x 0.529177/(6^0.23 + 8^0.23), x = 0.3/a
    length = 0.8854 * 0.529177210903 / (6**0.23 + 8**0.23)
    screening = sum(
        c * np.exp(-e * 0.3 / length) for c, e in ((0.1818, 3.2), (0.5099, 0.9423), (0.2802, 0.4028), (0.02817, 0.2016))
    )
    u = 0.3 / (0.76 + 0.66)
    expected = 14.399645 * 48 / 0.3 * screening * (1 - 28 * u**6 + 48 * u**7 - 21 * u**8)
    assert difference == pytest.approx(expected, rel=1e-5)


def test_a_nan_position_is_refused_by_name() -> None:
    atoms = ethanol()
    atoms.positions[0, 0] = np.nan
    with pytest.raises(Exception, match="positions"):
        evaluate(make_core(), [atoms])
