"""A stored potential is the same to the last bit, or refused by the name of its file and key."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from mfbench.mfcore.cores.equivariant.config import EquivariantConfig
from mfbench.mfcore.cores.equivariant.model import EquivariantCore
from mfbench.mfcore.errors import DataError, MfbenchError
from mfbench.mfcore.files import sha256_of
from mfbench.mfcore.potentials.potential import Component, Potential, load
from mfbench.mfcore.potentials.stored import HEADER
from mfbench.mfcore.provenance import tensors_hash
from mfbench.mfcore.sealed import write_sealed
from mfbench.mfcore.training.budget import Ledger, Stage
from mfbench.mfcore.training.checkpoint import load_tensors, save_tensors
from tests.reliability.damage import damage

WEIGHTS = "core_1.safetensors"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A potential of two networks."""
    torch.manual_seed(0)
    config = EquivariantConfig(cutoff=3.5, n_layers=1, lmax=1, channels=4, n_bessel=4, radial_hidden=[8])
    cores = [EquivariantCore(config, (1, 8), names) for names in (("low",), ("delta",))]
    cores[0].set_reference("low", [-13.5, -2040.0])
    outputs = {"low": (Component(0, "low"),), "high": (Component(0, "low"), Component(1, "delta"))}
    ledger = Ledger([Stage("low", atom_gradients=1000.5, steps=3)], n_parameters=9)
    folder = tmp_path_factory.mktemp("stored") / "model"
    Potential("delta_model", list(cores), outputs, ledger=ledger, record={"seed": 3, "e": float("nan")}).save(folder)
    return folder


@pytest.fixture
def copy(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "model"))


def content(folder: Path) -> str:
    """All that a potential says, as text; the time limit is part of the contract."""
    started = time.perf_counter()
    found = load(folder)
    assert time.perf_counter() - started < 5
    weights = [tensors_hash(core.state_dict()) + json.dumps(core.description()) for core in found.cores]
    return repr((found.arm, found.outputs, found.delta_baseline, found.ledger.as_dict(), found.record, weights))


def content_or_refusal(folder: Path) -> tuple[str | None, str]:
    try:
        return content(folder), ""
    except DataError as error:
        return None, str(error)


def test_what_is_saved_comes_back(whole: Path) -> None:
    found = load(whole)
    assert found.fidelities == ("low", "high")
    assert found.outputs["high"] == (Component(0, "low"), Component(1, "delta"))
    assert found.record == {"seed": 3, "e": None}
    assert found.cores[0].reference_of("low").tolist() == [-13.5, -2040.0]
    assert found.ledger.atom_gradients == 1000.5


@pytest.mark.parametrize("seeds", [range(90), pytest.param(range(90, 2000), marks=pytest.mark.slow)])
def test_damaged_files_are_refused_or_say_the_same(whole: Path, tmp_path: Path, seeds: range) -> None:
    right = content(whole)
    same = 0
    for seed in seeds:
        folder = Path(shutil.copytree(whole, tmp_path / "model"))
        path = folder / (HEADER, "core_0.safetensors", WEIGHTS)[seed % 3]
        kind = damage(path, seed)
        found, refusal = content_or_refusal(folder)
        assert found in (right, None), (path.name, kind, seed)
        if found is None:
            assert str(path) in refusal
            assert "\n" not in refusal
        same += found is not None
        shutil.rmtree(folder)
    assert same < len(seeds) / 20


def test_weights_of_another_potential_are_refused(copy: Path) -> None:
    shutil.copy(copy / "core_0.safetensors", copy / WEIGHTS)
    with pytest.raises(DataError, match=rf"{WEIGHTS}: not the file that was written"):
        load(copy)


# Files with right sums, as somebody would write them who edits and reseals: descriptions are strict beside the sums.


def edit_header(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    header = json.loads((folder / HEADER).read_text())
    del header["sha256"]
    change(header)
    write_sealed(folder / HEADER, header)


HEADER_EDITS: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "format": (lambda h: h.update(format=1), "format"),
    "no-arm": (lambda h: h.pop("arm"), "arm"),
    "unknown": (lambda h: h.update(colour="red"), "colour"),
    "number": (lambda h: h.update(arm=3), "arm"),
    "precision": (lambda h: h.update(precision="float16"), "precision"),
    "no-weights": (lambda h: h.update(weights=[]), "weights"),
    "elsewhere": (lambda h: h["weights"][0].update(file="../core_0.safetensors"), r"weights\.0\.file"),
    "sum": (lambda h: h["weights"][0].update(sha256=3), r"weights\.0\.sha256"),
    "text": (lambda h: h["outputs"]["low"][0].__setitem__(0, "0"), r"outputs\.low\.0\.0"),
    "no-network": (lambda h: h["outputs"]["low"][0].__setitem__(0, 2), r"outputs\.low"),
    "no-fidelity": (lambda h: h["outputs"]["low"][0].__setitem__(1, "x"), r"outputs\.low"),
    "no-ledger": (lambda h: h["ledger"].pop("trials"), "ledger"),
    "stage": (lambda h: h["ledger"]["stages"][0].update(steps=None, colour=1), "ledger"),
    "stages": (lambda h: h["ledger"].update(stages=3), "ledger"),
}


@pytest.mark.parametrize(("change", "key"), HEADER_EDITS.values(), ids=HEADER_EDITS)
def test_a_header_that_means_something_else_is_refused_by_its_key(
    copy: Path, change: Callable[[dict[str, Any]], object], key: str
) -> None:
    edit_header(copy, change)
    with pytest.raises(DataError, match=rf"potential\.json, key '{key}'"):
        load(copy)


def test_a_key_that_is_missing_is_named_before_the_sum(copy: Path) -> None:
    header = json.loads((copy / HEADER).read_text())
    del header["outputs"]
    (copy / HEADER).write_text(json.dumps(header))
    with pytest.raises(DataError, match="key 'outputs': this key is missing"):
        load(copy)


def edit_weights(folder: Path, tensors: dict[str, torch.Tensor], description: dict[str, Any]) -> None:
    description.pop("format", None)
    save_tensors(folder / WEIGHTS, tensors, description)
    edit_header(folder, lambda header: header["weights"][1].update(sha256=sha256_of(folder / WEIGHTS)))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers_are_refused(copy: Path, value: float) -> None:
    tensors, description = load_tensors(copy / WEIGHTS)
    tensors["readout.out"].view(-1)[0] = value
    edit_weights(copy, tensors, description)
    with pytest.raises(DataError, match=r"core_1.*'readout\.out': not all of its numbers are finite"):
        load(copy)


def test_weights_of_another_type_or_shape_are_refused(copy: Path) -> None:
    """Labelled as int64, weights gave 2e19 eV."""
    right, description = load_tensors(copy / WEIGHTS)
    for name, tensor in right.items():
        for changed in (tensor.view(torch.int32), tensor.double() if tensor.dtype.itemsize == 4 else tensor.float()):
            edit_weights(copy, right | {name: changed}, dict(description))
            with pytest.raises(DataError, match=f"key '{name}': expected"):
                load(copy)
    edit_weights(copy, right | {"reference": right["reference"][:, :1]}, dict(description))
    with pytest.raises(DataError, match="key 'reference': expected"):
        load(copy)
    edit_weights(copy, {k: v for k, v in right.items() if k != "reference"}, dict(description))
    with pytest.raises(DataError, match="key 'reference': this tensor is missing"):
        load(copy)


def test_a_description_that_lacks_a_key_or_has_another_is_refused(copy: Path) -> None:
    """One without its cutoff gave energies that were 2.8 eV off: the default was taken."""
    tensors, right = load_tensors(copy / WEIGHTS)
    for key in [key for key in right if key != "format"]:
        edit_weights(copy, tensors, {k: v for k, v in right.items() if k != key})
        with pytest.raises(DataError, match=f"key '{key}'"):
            load(copy)
    for key in right["config"]:
        config = {k: v for k, v in right["config"].items() if k != key}
        edit_weights(copy, tensors, {**right, "config": config})
        with pytest.raises(DataError, match=rf"{WEIGHTS}.*(config\.{key}|{key}|cannot be used)"):
            load(copy)
    for wrong in ({"species": 3}, {"conditioning": "x"}, {"config": {"cutoff": "far"}}, {"more": 1}, {"core": 3}):
        edit_weights(copy, tensors, {**right, **wrong})
        with pytest.raises(MfbenchError, match=WEIGHTS):
            load(copy)
