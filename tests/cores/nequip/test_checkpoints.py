"""A model that nequip has written is read once, where it is trusted, and is the same function as nequip gives.

Module: mfbench.mfcore.cores.nequip.checkpoint.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mfbench.mfcore.cores import pickled
from mfbench.mfcore.cores.choice import CoreChoice
from mfbench.mfcore.cores.nequip.model import NequIPCore
from mfbench.mfcore.cores.nequip.network import build, build_whole
from mfbench.mfcore.cores.peer import default_dtype, quiet_building
from mfbench.mfcore.data.graphs import GraphStore
from mfbench.mfcore.errors import ConfigError, DataError
from tests.contracts.core_cases import FIDELITIES, argyrodite
from tests.contracts.peers import need

need("nequip")

NAMES = ["H", "Li", "P", "S", "Cl"]
SPECIES = (3, 15, 16, 17)
SHIFTS = dict(zip(NAMES, (-1.0, -2.0, -3.0, -4.0, -5.0), strict=True))
SCALES = dict(zip(NAMES, (0.5, 0.7, 0.9, 1.1, 1.3), strict=True))
MODEL: dict[str, Any] = {
    "_target_": "nequip.model.NequIPGNNModel",
    "seed": 7,
    "model_dtype": "float32",
    "type_names": NAMES,
    "r_max": 4.0,
    "num_layers": 2,
    "l_max": 1,
    "parity": False,
    "num_features": 4,
    "num_bessels": 6,
    "radial_mlp_depth": 1,
    "radial_mlp_width": 8,
    "readout_mlp_hidden_layers_depth": 1,
    "avg_num_neighbors": dict.fromkeys(NAMES, 15.0),
    "per_type_energy_scales": SCALES,
    "per_type_energy_shifts": SHIFTS,
}
ZBL = {"_target_": "nequip.nn.pair_potential.ZBL", "chemical_species": NAMES, "units": "metal"}
FIELD = {"field": "dataset", "num_features": 3, "min": 2, "max": 4}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pickled, "kernel_folder", lambda: tmp_path / "kernels")
    pickled._content_of.cache_clear()


def module_of(**changes: Any) -> Any:
    """nequip's own training module of a model, whose averaged weights differ from the others."""
    with quiet_building(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from nequip.train import EMALightningModule
        from nequip.utils.global_state import set_global_state

        before = torch.get_default_dtype(), torch.get_rng_state()
        set_global_state()
        made = EMALightningModule(
            model={**MODEL, **changes},
            num_datasets={"train": 1, "val": 0, "test": 0, "predict": 0},
            loss=None,
        )
        torch.set_default_dtype(before[0])
        torch.set_rng_state(before[1])
    with torch.no_grad():
        for weight in made.ema.ema_weights:
            weight.mul_(1.1)
    return made


def stored_as(module: Any, path: Path) -> Path:
    torch.save({"state_dict": module.state_dict(), "hyper_parameters": dict(module.hparams)}, path)
    return path


def packaged(module: Any, path: Path) -> Path:
    """A package with the parts of `nequip-package build`, which needs the data of the training besides."""
    import yaml
    from nequip.model.saved_models.package import _suppress_package_importer_exporter_warnings
    from nequip.scripts import _package_utils as known

    module.ema.swap_parameters(module.model)  # it stores the averaged weights as the model's
    raw = {**MODEL, "avg_num_neighbors": "${training_data_stats:num_neighbors_mean}", "r_max": "${cutoff}"}
    with _suppress_package_importer_exporter_warnings(), torch.package.PackageExporter(path) as exporter:
        exporter.mock([f"{name}.**" for name in known._MOCK_MODULES])
        exporter.extern([f"{name}.**" for name in known._EXTERNAL_MODULES])
        exporter.intern([f"{name}.**" for name in known._INTERNAL_MODULES])
        exporter.save_text("model", "config.yaml", yaml.dump({"cutoff": 4.0, "training_module": {"model": raw}}))
        types = dict(enumerate(NAMES))
        about = {"package_version_id": 2, "available_models": ["eager"], "atom_types": types}
        exporter.save_text("model", "package_metadata.txt", yaml.dump(about))
        exporter.save_pickle("model", "eager_model.pkl", module.model, dependencies=True)
    module.ema.swap_parameters(module.model)
    return path


def trusted(path: Path) -> Path:
    NequIPCore.trust_checkpoint(str(path))
    return path


def answers(module: Any, value: int | None = None) -> tuple[float, np.ndarray, np.ndarray]:
    """Energy, forces and stress by nequip itself, with the averaged weights."""
    from nequip.data import from_ase
    from nequip.data.transforms import ChemicalSpeciesToAtomTypeMapper, NeighborListTransform

    module.ema.swap_parameters(module.model)
    with default_dtype(torch.float64), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        data = NeighborListTransform(r_max=4.0)(ChemicalSpeciesToAtomTypeMapper(NAMES)(from_ase(argyrodite())))
        if value is not None:
            data["dataset"] = torch.tensor([[value]])
        out = module.model["sole_model"](data)
    module.ema.swap_parameters(module.model)
    return float(out["total_energy"].detach()), out["forces"].detach().numpy(), out["stress"].detach().numpy()[0]


@pytest.mark.parametrize("conditioning", ["none", "heads", "embedding"])
@pytest.mark.parametrize(
    ("changes", "part"), [({}, ""), ({"pair_potential": ZBL, "categorical_graph_field_embed": [FIELD]}, ":3")]
)
def test_it_is_the_function_that_nequip_gives(
    tmp_path: Path, conditioning: str, changes: dict[str, Any], part: str
) -> None:
    module = module_of(**changes)
    file = stored_as(module, tmp_path / "best.ckpt")
    with pytest.raises(ConfigError, match="--trust-checkpoint"):
        NequIPCore.find_checkpoint(f"{file}{part}")
    trusted(file)
    wanted = answers(module, int(part[1:]) if part else None)
    choice = CoreChoice.model_validate({"name": "nequip", "checkpoint": f"{file}{part}"})
    core = choice.build(SPECIES, FIDELITIES, conditioning, 1.0)  # type: ignore[arg-type]
    again = NequIPCore.from_description(core.description())
    again.load_state_dict(core.state_dict())
    for network in (core, again):
        for fidelity in FIDELITIES:
            store = GraphStore([argyrodite()], [fidelity], FIDELITIES, None, SPECIES, network.cutoff)
            batch = store.batch([0]).to("cpu", torch.float32)
            output = network(batch, stress=True)
            energy = float(output.energy.double() + network.reference_energy(batch))
            assert energy == pytest.approx(wanted[0], abs=1e-4)
            np.testing.assert_allclose(output.forces, wanted[1], atol=1e-4)
            np.testing.assert_allclose(output.stress[0], wanted[2], atol=1e-5)


def test_a_package_is_the_same_function(tmp_path: Path) -> None:
    module = module_of()
    file = packaged(module, tmp_path / "best.nequip.zip")
    with pytest.raises(ConfigError, match="--trust-checkpoint"):
        NequIPCore.find_checkpoint(str(file))
    trusted(file)
    wanted = answers(module)
    core = CoreChoice.model_validate({"name": "nequip", "checkpoint": str(file)}).build(SPECIES, ("pbe",), "none", 1.0)
    store = GraphStore([argyrodite()], ["pbe"], ("pbe",), None, SPECIES, core.cutoff)
    batch = store.batch([0]).to("cpu", torch.float32)
    output = core(batch)
    assert float(output.energy.double() + core.reference_energy(batch)) == pytest.approx(wanted[0], abs=1e-4)
    np.testing.assert_allclose(output.forces, wanted[1], atol=1e-4)


def test_a_value_of_the_field_is_chosen(tmp_path: Path) -> None:
    file = trusted(stored_as(module_of(categorical_graph_field_embed=[FIELD]), tmp_path / "best.ckpt"))
    with pytest.raises(ConfigError, match=r"which value of dataset to start from: best\.ckpt:2 or best\.ckpt:3"):
        NequIPCore.find_checkpoint(str(file))
    plain = trusted(stored_as(module_of(), tmp_path / "plain.ckpt"))
    with pytest.raises(ConfigError, match="knows no value of an embedded field; leave out ':3'"):
        NequIPCore.find_checkpoint(f"{plain}:3")


def test_what_fidelities_share_and_what_they_have(tmp_path: Path) -> None:
    file = trusted(stored_as(module_of(), tmp_path / "best.ckpt"))
    choice = CoreChoice.model_validate({"name": "nequip", "checkpoint": str(file)})
    core = choice.build(SPECIES, FIDELITIES, "embedding", 1.0)
    assert core.in_groups(["fidelity"]) == {"fidelity_vectors"}
    store = GraphStore([argyrodite()] * 2, list(FIDELITIES[:2]), FIDELITIES, None, SPECIES, core.cutoff)
    batch = store.batch([0, 1]).to("cpu", torch.float32)
    with torch.no_grad():
        core.get_parameter("fidelity_vectors")[1] += 0.5
    first, second = core(batch).energy.tolist()
    assert abs(first - second) > 1e-3
    assert len(core.in_groups(["readout.last"])) == 1
    assert len(core.in_groups(["readout"])) == 2


def test_a_model_of_another_kind_is_refused(tmp_path: Path) -> None:
    module = module_of()
    for change, words in (
        ({"_target_": "allegro.model.AllegroModel"}, "it is made by allegro"),
        ({"num_features": 8}, "its network is not the one that its description builds"),
        ({"type_names": ["A", "Li", "P", "S", "Cl"]}, "its type A is no chemical symbol"),
    ):
        file = tmp_path / "odd.ckpt"
        torch.save({"state_dict": module.state_dict(), "hyper_parameters": {"model": {**MODEL, **change}}}, file)
        with pytest.raises(DataError, match=words):
            NequIPCore.trust_checkpoint(str(file))


def test_a_description_makes_nothing_but_networks_of_nequip() -> None:
    """Descriptions come with stored potentials, and nequip would make whatever object one names."""
    keys = {"builder": "NequIPGNNModel", "elements": [1], "pair_potential": {"_target_": "os.system", "command": "x"}}
    for odd in (keys, {"builder": "modify", "elements": [1]}):
        with pytest.raises(ConfigError, match="expected NequIPGNNModel or"):
            build(odd)
        with pytest.raises(ConfigError, match="expected NequIPGNNModel or"):
            build_whole(odd)
