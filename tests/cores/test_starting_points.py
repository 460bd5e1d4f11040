"""Checkpoints as people name them, pickled ones, and cores whose package is missing.

Modules: mfbench.mfcore.cores.pickled, mfbench.mfcore.cores.starting_points, mfbench.mfcore.fidelity_energies.
"""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
import torch

from mfbench.mfcore.cores import pickled
from mfbench.mfcore.cores.choice import CoreChoice
from mfbench.mfcore.cores.registry import core_class
from mfbench.mfcore.cores.starting_points import found_checkpoint, sha256_of_checkpoint
from mfbench.mfcore.errors import ConfigError, DataError


def test_a_path_a_name_and_a_part_behind_them(tmp_path: Path) -> None:
    file = tmp_path / "weights.pth"
    file.write_bytes(b"1")
    named = {"Model-1": file}
    assert found_checkpoint(str(file), "any").path == file
    assert found_checkpoint(f"{file}:PBE", "any").part == "PBE"
    assert found_checkpoint("model-1", "any", named).path == file
    assert found_checkpoint("Model-1:r2SCAN", "any", named) == found_checkpoint(f"{file}:r2SCAN", "any")
    with pytest.raises(ConfigError, match="no file Model-2; it knows Model-1"):
        found_checkpoint("Model-2", "any", named)


def test_a_colon_in_a_files_name_is_no_part(tmp_path: Path) -> None:
    file = tmp_path / "a:b"
    file.write_bytes(b"1")
    assert found_checkpoint(str(file), "any").part == ""


def test_the_hash_is_that_of_a_file_or_of_a_folders_header(tmp_path: Path) -> None:
    (tmp_path / "potential.json").write_text("{}")
    assert sha256_of_checkpoint(tmp_path) == sha256_of_checkpoint(tmp_path / "potential.json")


class Trap:
    """Whoever unpickles it makes a file."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return Path.touch, (self.file,)


def unpickled(path: Path) -> pickled.Content:
    pickle.loads(path.read_bytes())
    return {"weight": torch.arange(3.0)}, {"cutoff": 4.0}


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(pickled, "kernel_folder", lambda: tmp_path / "cache" / "kernels")
    (tmp_path / "cache").mkdir()
    pickled._content_of.cache_clear()
    return tmp_path / "cache"


def test_a_pickle_from_elsewhere_is_not_read_until_it_is_trusted(tmp_path: Path, cache: Path) -> None:
    sprung, file = tmp_path / "sprung", tmp_path / "weights.pth"
    file.write_bytes(pickle.dumps(Trap(sprung)))
    with pytest.raises(ConfigError, match=r"executes the code in it.*--trust-checkpoint"):
        pickled.content_of(file, "any", "numpy", unpickled)
    assert not sprung.exists()
    pickled.trust(file, "any", unpickled)
    assert sprung.exists()
    sprung.unlink()
    tensors, description = pickled.content_of(file, "any", "numpy", unpickled)
    assert torch.equal(tensors["weight"], torch.arange(3.0))
    assert description == {"cutoff": 4.0}
    assert not sprung.exists()  # it is read from what was kept
    file.write_bytes(pickle.dumps([Trap(sprung)]))  # another file of the same name
    with pytest.raises(ConfigError, match="--trust-checkpoint"):
        pickled.content_of(file, "any", "numpy", unpickled)


@pytest.mark.parametrize("which", ["folder", "file"])
def test_what_others_may_have_written_is_not_read(tmp_path: Path, cache: Path, which: str) -> None:
    file = tmp_path / "weights.pth"
    file.write_bytes(pickle.dumps(1))
    pickled.trust(file, "any", unpickled)
    (kept,) = cache.rglob("*.safetensors")
    (kept if which == "file" else kept.parent).chmod(0o777)
    with pytest.raises(ConfigError, match=r"may be written to by others.*not trusted"):
        pickled.content_of(file, "any", "numpy", unpickled)


def test_what_cannot_be_read_is_said(tmp_path: Path, cache: Path) -> None:
    file = tmp_path / "weights.pth"
    file.write_bytes(b"no pickle")
    with pytest.raises(DataError, match="not a checkpoint that core 'any' can read"):
        pickled.trust(file, "any", unpickled)
    assert not list(cache.rglob("*.safetensors"))


def test_a_core_whose_package_is_missing_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(core_class("sevennet"), "package", "no_such_package")
    with pytest.raises(ValueError, match=r"needs the package no_such_package.*pip install 'mfbench\[sevennet\]'"):
        CoreChoice.model_validate("sevennet")
