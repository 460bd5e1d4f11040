"""Checkpoints of NequIP: files of its trainer, and what `nequip-package` has made of them; both are pickles."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar
from zipfile import is_zipfile

import torch
from ase.data import atomic_numbers
from torch import Tensor, nn

from mfbench.mfcore.cores import pickled
from mfbench.mfcore.cores.nequip.network import BUILDERS, FIELD, SCALE_SHIFT, build_whole
from mfbench.mfcore.cores.peer import quiet_building
from mfbench.mfcore.cores.peer_checkpoint import PeerCheckpoint, plain

PACKAGE = "nequip"
PACKAGED = ".nequip.zip"
_FIELDS = "categorical_graph_field_embed"
_STATISTICS = ("avg_num_neighbors", "per_type_energy_scales", "per_type_energy_shifts")
#: Arguments that do not change the function of the network.
_DROPPED = ("_target_", "seed", "model_dtype", "compile_mode", "type_names", "do_derivatives")


class Stored(PeerCheckpoint):
    """A checkpoint of NequIP; its parts are the values of the graph's field that it embeds, if it does."""

    core: ClassVar[str] = "nequip"
    package: ClassVar[str] = PACKAGE

    @property
    def part_is(self) -> str:
        """Name that nequip has for a part."""
        return f"value of {self.keys[_FIELDS][0]['field']}" if self.parts else "value of an embedded field"

    @classmethod
    def unpickled(cls, path: Path) -> pickled.Content:
        """Read a file of nequip's trainer, or one that `nequip-package` has made."""
        given, tensors, averaged = _packaged(path) if path.name.endswith(PACKAGED) else _of_trainer(path)
        keys = _keys(given)
        whole = build_whole(keys)
        if averaged:
            names = [name for name, _ in whole.named_parameters()]
            if len(names) != len(averaged):
                raise ValueError(f"it has {len(averaged)} averaged weights for {len(names)} parameters")
            tensors |= dict(zip(names, averaged, strict=True))
        expected = whole.state_dict()
        missing = [name for name in expected if name not in tensors and not name.startswith(SCALE_SHIFT)]
        apart = [name for name in tensors if not name.startswith(SCALE_SHIFT)]
        odd = [name for name in apart if name not in expected or tensors[name].shape != expected[name].shape]
        if missing or odd:
            raise ValueError(f"its network is not the one that its description builds; see {(missing or odd)[0]}")
        n_types = len(keys["elements"])
        energies = {}
        for name, neutral in (("shift", 0.0), ("scale", 1.0)):
            value = tensors.pop(f"{SCALE_SHIFT}.{name}s", torch.zeros(0)).double().flatten()
            energies[name] = value.expand(n_types) if value.numel() else torch.full((n_types,), neutral)
        fields = keys.get(_FIELDS) or []
        parts = [str(value) for value in range(fields[0]["min"], fields[0]["max"] + 1)] if fields else []
        rows = max(1, len(parts))
        return tensors, {
            "keys": keys,
            "parts": parts,
            **{name: value.expand(rows, n_types).tolist() for name, value in energies.items()},
        }

    def architecture(self) -> dict[str, Any]:
        """Keys of a network with the function of one part: a field that is embedded has that value alone."""
        keys = dict(self.keys)
        if self.parts:
            keys[_FIELDS] = [{**keys[_FIELDS][0], "field": FIELD, "min": 0, "max": 0}]
        return keys


def _of_trainer(path: Path) -> tuple[dict[str, Any], dict[str, Tensor], list[Tensor]]:
    """Description, tensors, and averaged parameters in their order, of a file of nequip's trainer."""
    found = torch.load(path, map_location="cpu", weights_only=False)
    state = found["state_dict"]
    averaged: list[Tensor] = []
    if state.get("ema._extra_state", {}).get("is_holding_ema_weights"):
        n = sum(name.startswith("ema.ema_weight_") for name in state)
        averaged = [state[f"ema.ema_weight_{place}"] for place in range(n)]
    return dict(found["hyper_parameters"]["model"]), _own(state, "model."), averaged


def _packaged(path: Path) -> tuple[dict[str, Any], dict[str, Tensor], list[Tensor]]:
    """Description and tensors of a package; what its trainer computed of data is read from its modules."""
    if not is_zipfile(path):
        raise ValueError("it is no zip archive")
    package: Any = torch.package
    with quiet_building():
        from nequip.model.saved_models import ModelFromPackage
        from omegaconf import OmegaConf

        models = ModelFromPackage(str(path))
        text = package.PackageImporter(str(path)).load_text("model", "config.yaml")
    config = OmegaConf.create(text)
    inner = config.training_module.model
    while inner.get("_target_") == "nequip.model.modify":
        inner = inner.model
    for name in _STATISTICS:
        if name in inner:
            inner[name] = 1.0
    given: Any = OmegaConf.to_container(inner, resolve=True)
    norms = [module.norm_const for module in models.modules() if hasattr(module, "norm_const")]
    if norms and "avg_num_neighbors" in given:
        numbers = norms[0].double().flatten().pow(-2).tolist()
        names = given["type_names"]
        given["avg_num_neighbors"] = numbers[0] if len(numbers) == 1 else dict(zip(names, numbers, strict=True))
    return given, _own(models.state_dict(), ""), []


def _own(state: Mapping[str, Tensor], before: str) -> dict[str, Tensor]:
    """Tensors of the one network that a file has, by their names within it."""
    prefix = f"{before}sole_model.model.func."
    found = {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}
    if not found:
        raise ValueError("it has not one network for energies")
    return found


def _keys(given: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments of the builder as :func:`mfbench.mfcore.cores.nequip.network.model_keys` has them."""
    while given.get("_target_") == "nequip.model.modify":
        given = given["model"]
    builder = str(given.get("_target_", "")).rpartition(".")[2]
    if builder not in BUILDERS:
        raise ValueError(f"it is made by {given.get('_target_')}; expected {' or '.join(BUILDERS)}")
    if odd := [name for name in given["type_names"] if name not in atomic_numbers]:
        raise ValueError(f"its type {odd[0]} is no chemical symbol")
    if len(given.get(_FIELDS) or ()) > 1:
        raise ValueError("it embeds several fields of the graph")
    keys = {name: plain(value) for name, value in given.items() if name not in _DROPPED}
    for name, neutral in (("per_type_energy_scales", 1.0), ("per_type_energy_shifts", 0.0)):
        keys[name] = neutral  # they are kept apart
    return keys | {"builder": builder, "elements": [atomic_numbers[name] for name in given["type_names"]]}


def transfer(known: Stored, part: str, modules: Mapping[str, nn.Module]) -> None:
    """Give modules of a network, by nequip's names, the weights of one part of a checkpoint."""
    tensors = dict(known.tensors)
    if known.parts:
        before = f"type_embed.{_FIELDS}_modules."
        (name,) = [name for name in tensors if name.startswith(before)]
        row = known.parts.index(part)
        tensors[f"{before}{FIELD}.weight"] = tensors.pop(name)[row : row + 1]
    for name, module in modules.items():
        prefix = f"{name}."
        module.load_state_dict({k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)})
