"""MatPES: the contract on documents made anew in its format, pairs of levels, and what a file may not be."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from ase.build import bulk

from mfbench.benchmarks.sets import files
from mfbench.benchmarks.tasks.base import Regime
from mfbench.benchmarks.tasks.fetch import DATA_VARIABLE
from mfbench.benchmarks.tasks.matpes.stream import items
from mfbench.benchmarks.tasks.matpes.task import HIGH, LOW, MatPES
from mfbench.mfcore.data.frames import has_label
from mfbench.mfcore.errors import DataError
from mfbench.mfcore.fidelity import Label
from tests.contracts.task import TaskContract

NAMES = {LOW: "MatPES-PBE-2025.1.json.gz", HIGH: "MatPES-R2SCAN-2025.1.json.gz"}


def document(number: int, level: str, moved: float = 0.0) -> dict:
    """Rock salt out of the dynamics of one of forty crystals."""
    rng = np.random.default_rng(number)
    atoms = bulk("MgO", "rocksalt", a=4.0 + 0.01 * (number // 4), cubic=True)
    atoms.positions += rng.normal(scale=0.1, size=(8, 3)) + moved * np.eye(8, 3)
    sites = [
        {"species": [{"element": s, "occu": 1}], "abc": p.tolist(), "label": s, "properties": {}}
        for s, p in zip(atoms.get_chemical_symbols(), atoms.get_scaled_positions(wrap=False), strict=True)
    ]
    return {
        "matpes_id": f"matpes-{number}",
        "functional": {LOW: "PBE", HIGH: "r2SCAN"}[level],
        "structure": {"@class": "Structure", "lattice": {"matrix": atoms.cell.array.tolist()}, "sites": sites},
        "energy": -40.0 - float(rng.normal()) - (8.0 if level == HIGH else 0.0),
        "forces": rng.normal(size=(8, 3)).tolist(),
        "stress": [1.0, 2.0, 3.0, 0.1, 0.2, 0.3],
        "provenance": {"original_mp_id": f"mp-{number // 4}"},
    }


def put(folder: Path, documents: dict[str, list[dict]]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for level, content in documents.items():
        (folder / NAMES[level]).write_bytes(gzip.compress(json.dumps(content).encode()))


class Small(MatPES):
    n_documents = 120
    n_validation = 6


@pytest.fixture(scope="class")
def folder(tmp_path_factory: pytest.TempPathFactory):
    made = tmp_path_factory.mktemp("matpes")
    put(made / "matpes", {LOW: [document(i, LOW) for i in range(160)], HIGH: [document(i, HIGH) for i in range(160)]})
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(DATA_VARIABLE, str(made))
        patch.setattr(files, "cache_folder", lambda: made / "cache")
        yield made


class TestMatPES(TaskContract):
    regimes: ClassVar = (
        Regime(n_low=30, n_high=10, labels="low=EFS,high=EF", coverage="full"),
        Regime(n_low=30, n_high=10, labels="low=EF,high=E", pairing="paired", coverage="full"),
    )

    @pytest.fixture(scope="class")
    @classmethod
    def task(cls, folder):
        return Small()

    def test_both_levels_have_the_same_structures(self, task):
        assert len(task.frames) == 120
        assert all(has_label(a, level, Label.FORCES) for a in task.frames for level in (LOW, HIGH))
        assert task.absent == ""

    def test_a_smaller_part_is_contained_in_a_larger_one(self, task):
        class Half(Small):
            n_documents = 60

        names = {a.info["structure_id"] for a in task.frames}
        assert {a.info["structure_id"] for a in Half().frames} < names


def test_one_id_with_two_geometries_is_two_frames(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(DATA_VARIABLE, str(tmp_path))
    monkeypatch.setattr(files, "cache_folder", lambda: tmp_path / "cache")
    put(tmp_path, {LOW: [document(0, LOW)], HIGH: [document(0, HIGH, moved=0.1)]})
    assert sorted(a.info["structure_id"] for a in MatPES().load()) == ["matpes-0", "matpes-0-r2scan"]
    put(tmp_path, {HIGH: [document(0, LOW)]})
    (tmp_path / "cache" / "matpes" / f"{NAMES[HIGH]}.sha256").unlink()
    with pytest.raises(DataError, match="key 'functional': expected r2scan"):
        MatPES().load()


def test_absent_files_say_what_to_do_and_are_not_downloaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(DATA_VARIABLE, str(tmp_path))
    monkeypatch.setattr(files, "cache_folder", lambda: tmp_path / "cache")
    assert MatPES().absent.startswith("not here: mfbench data fetch matpes, or put MatPES-PBE")
    with pytest.raises(DataError, match="not here: mfbench data fetch matpes"):
        MatPES().load()


@pytest.mark.parametrize("chunk", [1, 7, 1000])
def test_a_list_is_read_in_pieces(tmp_path: Path, chunk: int) -> None:
    content = [{"a": [1, 2.5e-3, "], ["]}, 12345, [], 'x\\"é', None]
    for indent in (None, 1):
        (tmp_path / "a.json").write_text(json.dumps(content, indent=indent, ensure_ascii=False))
        assert list(items(tmp_path / "a.json", chunk)) == content
    (tmp_path / "e.json").write_text(" [ ] ")
    assert list(items(tmp_path / "e.json", chunk)) == []


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"a": 1}', "expected a JSON list"),
        ("[1, 2", "ends after 2 items|frame 1: no JSON"),
        ('[1, {"a": }]', "frame 1: no JSON"),
        ("", "expected a JSON list"),
    ],
)
def test_what_is_no_list_is_refused(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(DataError, match=words):
        list(items(tmp_path / "a.json"))
    packed = gzip.compress(json.dumps(list(range(5000))).encode())
    (tmp_path / "cut.json.gz").write_bytes(packed[:-30])
    with pytest.raises(DataError, match="damaged after"):
        list(items(tmp_path / "cut.json.gz", 100))
