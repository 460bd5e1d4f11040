"""Benchmark sets: reading of files made anew in their formats, scores, sums at first use, and the commands."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pooch
import pytest
from ase.io import write

import mfbench
from mfbench.benchmarks.observables.barriers.observable import BarriersPlan, barriers
from mfbench.benchmarks.observables.conformers.observable import ConformersPlan, conformers
from mfbench.benchmarks.sets import files, oc20neb, wiggle150
from mfbench.benchmarks.sets.files import found, obtain
from mfbench.benchmarks.sets.oc20neb import read_bands
from mfbench.benchmarks.sets.registry import SETS, set_of
from mfbench.benchmarks.sets.wiggle150 import read_conformers
from mfbench.benchmarks.tasks.fetch import DATA_VARIABLE
from mfbench.mfcore.errors import ConfigError, DataError
from mfbench.mfcore.potentials.stored import HEADER
from tests.sets.made import BANDS, KCAL_PER_MOL, Sizes, archive, band, conformers_file, size, stretched, trajectories


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder of data, and an empty cache."""
    monkeypatch.setenv(DATA_VARIABLE, str(tmp_path / "data"))
    monkeypatch.setattr(files, "cache_folder", lambda: tmp_path / "cache")
    (tmp_path / "data").mkdir()
    return tmp_path / "data"


def rows_of(evaluation) -> dict[str, float]:
    return {row["metric"]: row["value"] for row in evaluation.rows}


# ---- conformers


@pytest.mark.parametrize("order", ["name energy", "energy name"])
def test_conformers_are_read_in_either_order_of_the_comment(data: Path, order: str) -> None:
    conformers_file(data / wiggle150.FILE.name, order=order)
    read = read_conformers()
    assert {name: list(own.names) for name, own in read.items()} == {
        name: [f"{name}_{i:02d}" for i in range(4)] for name in ("ado", "bpn", "efa")
    }
    expected = (size(stretched("CH3OH", 2)) - size(stretched("CH3OH", 0))) / KCAL_PER_MOL
    energies = read["ado"].energies_kcal_per_mol
    assert energies[2] - energies[0] == pytest.approx(expected, abs=1e-5)


def test_errors_are_of_energies_relative_to_conformer_0_in_kcal_per_mol(data: Path) -> None:
    conformers_file(data / wiggle150.FILE.name)
    right = rows_of(conformers(Sizes(), ConformersPlan()))
    assert right["conformers_mae_kcal_per_mol"] == pytest.approx(0.0, abs=1e-4)
    off = conformers(Sizes(slope=1.5), ConformersPlan())
    expected = [
        0.5 * (size(stretched(formula, i)) - size(stretched(formula, 0))) / KCAL_PER_MOL
        for formula in ("CH3OH", "CH3SH", "CH3Cl")
        for i in (1, 2, 3)
    ]
    assert rows_of(off)["conformers_mae_kcal_per_mol"] == pytest.approx(np.mean(expected), abs=1e-4)
    assert rows_of(off)["conformers_rmse_kcal_per_mol"] == pytest.approx(
        np.sqrt(np.mean(np.square(expected))), abs=1e-4
    )
    assert {row["n"] for row in off.rows} == {9}


def test_molecules_of_unknown_elements_are_missing(data: Path) -> None:
    conformers_file(data / wiggle150.FILE.name)
    some = conformers(Sizes(species=(1, 6, 8)), ConformersPlan())
    assert rows_of(some)["conformers_n_missing"] == 6
    assert {row["metric"]: row["n"] for row in some.rows}["conformers_mae_kcal_per_mol"] == 3
    assert set(rows_of(conformers(Sizes(species=(1, 2)), ConformersPlan()))) == {"conformers_n_missing"}
    with pytest.raises(DataError, match="no molecule 'xyz' in it, only ado, bpn, efa"):
        conformers(Sizes(), ConformersPlan(molecules=("xyz",)))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda t: t.replace("ado_00", "start"), "frame 0: the comment line is .*expected a name such as ado_00"),
        (lambda t: t.replace("ado_01", "ado_00"), "frame 1: the conformer ado_00 comes twice"),
        (lambda t: t.replace("ado_00", "ado_77"), "there is no ado_00"),
        (lambda t: t.replace("ado_01", "bpn_77"), "other atoms than the conformers before it"),
        (lambda t: t[: len(t) // 2], "frame 5"),
        (lambda t: "", "no frame"),
    ],
)
def test_files_of_conformers_that_are_none_are_refused(data: Path, change, words: str) -> None:
    path = conformers_file(data / wiggle150.FILE.name)
    path.write_text(change(path.read_text()))
    with pytest.raises(DataError, match=words):
        read_conformers(path)


# ---- barriers


@pytest.mark.parametrize("packed", [True, False])
def test_the_last_ten_frames_are_the_band(data: Path, tmp_path: Path, packed: bool) -> None:
    folder = trajectories(data / "oc20neb")
    path = archive(tmp_path / "a.tar.gz", folder) if packed else folder
    read = {b.name: b for b in read_bands(path)}
    assert sorted(read) == sorted(name.removesuffix(".traj") for name in BANDS)
    for name, (height, energy) in BANDS.items():
        own = read[name.removesuffix(".traj")]
        assert own.top == 6
        assert own.energies_ev[6] - own.energies_ev[0] == pytest.approx(height)
        assert own.energies_ev[-1] - own.energies_ev[0] == pytest.approx(energy)
        assert own.frames[0].calc is None
    assert {b.domain for b in read_bands(path, "ood")} == {"ood"}


def test_barriers_are_compared_at_the_frames_of_the_reference(data: Path) -> None:
    trajectories(data / "oc20neb")
    found = barriers(Sizes(slope=0.1), BarriersPlan())
    expected = {}
    for name, (height, energy) in BANDS.items():
        places = [0.1 * size(a) for a in (band(height, energy)[i] for i in (0, 6, 9))]
        expected[name.removesuffix(".traj")] = (places[1] - places[0] - height, places[2] - places[0] - energy)
    ood = [value for name, value in expected.items() if "_ood_" in name]
    assert rows_of(found)["barrier_mae_ev"] == pytest.approx(np.mean([abs(a) for a, _ in ood]), abs=1e-6)
    assert rows_of(found)["reaction_energy_mae_ev"] == pytest.approx(np.mean([abs(b) for _, b in ood]), abs=1e-6)
    assert rows_of(found)["barrier_right_share"] == np.mean([abs(a) <= 0.1 for a, _ in ood])
    every = barriers(Sizes(slope=0.1), BarriersPlan(domain="all"))
    assert {row["n"] for row in every.rows} == {3}
    assert len(barriers(Sizes(), BarriersPlan(most=1)).details["barriers"]) == 1


def test_paths_of_unknown_elements_are_missing_and_not_right(data: Path) -> None:
    trajectories(data / "oc20neb")
    assert rows_of(barriers(Sizes(species=(1, 8)), BarriersPlan())) == {
        "barrier_right_share": 0.0,
        "barriers_n_missing": 2.0,
    }


def test_bands_that_are_none_are_refused(data: Path, tmp_path: Path) -> None:
    folder = trajectories(data / "oc20neb")
    whole = archive(tmp_path / "a.tar.gz", folder).read_bytes()
    (tmp_path / "cut.tar.gz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"cut\.tar\.gz: the archive is damaged"):
        list(read_bands(tmp_path / "cut.tar.gz"))
    name = next(iter(BANDS))
    write(folder / name, band(1.0, 0.0)[:4])
    with pytest.raises(DataError, match=f"{name}: 4 frames with energies; expected the 10"):
        list(read_bands(folder))
    (folder / name).write_bytes(b"nonsense")
    with pytest.raises(DataError, match=f"{name}: no trajectory with energies"):
        list(read_bands(folder))
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="no trajectory of the domain ood"):
        list(read_bands(tmp_path / "empty", "ood"))


def test_a_potential_that_needs_labels_has_no_rows(data: Path) -> None:
    needy = SimpleNamespace(requires_low_labels=("dft",))
    assert conformers(needy, ConformersPlan()).rows == []
    assert barriers(needy, BarriersPlan()).rows == []


# ---- files


def test_the_sum_of_the_first_use_is_asked_for_from_then_on(data: Path) -> None:
    path = conformers_file(data / "wiggle150" / wiggle150.FILE.name)
    assert obtain(wiggle150.FILE) == path
    path.write_text(path.read_text().replace("-4", "-6", 1))
    with pytest.raises(DataError, match=r"sha256 is .*it had at its first use"):
        obtain(wiggle150.FILE)
    value = hashlib.sha256(path.read_bytes()).hexdigest()
    assert obtain(wiggle150.FILE, sha256=value.upper()) == path
    assert obtain(wiggle150.FILE) == path
    with pytest.raises(DataError, match="was asked for"):
        obtain(wiggle150.FILE, sha256="0" * 64)


def test_a_sum_that_its_publisher_lists_is_asked_for(data: Path) -> None:
    (data / oc20neb.FILE.name).write_bytes(b"other")
    with pytest.raises(DataError, match=f"md5 is .*expected {oc20neb.FILE.md5}"):
        obtain(oc20neb.FILE)


def test_what_cannot_be_fetched_is_said_and_a_web_page_is_no_file(data: Path, monkeypatch) -> None:
    def refuse(url, known, fname, path):
        raise OSError("no network")

    monkeypatch.setattr(pooch, "retrieve", refuse)
    with pytest.raises(DataError, match=r"cannot be fetched from here \(https://pubs.*no network.*in the folder that"):
        obtain(wiggle150.FILE, download=True)

    def page(url, known, fname, path):
        Path(path).mkdir(parents=True, exist_ok=True)
        (Path(path) / fname).write_text("<!DOCTYPE html><p>Sign in")
        return str(Path(path) / fname)

    monkeypatch.setattr(pooch, "retrieve", page)
    with pytest.raises(DataError, match="a web page came in place of the file"):
        obtain(wiggle150.FILE, download=True)
    assert found(wiggle150.FILE) is None
    with pytest.raises(DataError, match=r"ct5c00015_si_003\.xyz: not here: mfbench data fetch wiggle150"):
        obtain(wiggle150.FILE)
    known = replace(oc20neb.FILE, urls=())
    with pytest.raises(DataError, match="could not be downloaded"):
        obtain(known, download=True)


# ---- commands


def test_sets_are_listed_with_what_to_do(call, data: Path) -> None:
    text = " ".join(call("list", "tasks").stdout.split())
    assert "to measure on (mfbench measure), not to train on; not here: mfbench data fetch wiggle150" in text
    assert "matpes" in text
    conformers_file(data / wiggle150.FILE.name)
    trajectories(data / "oc20neb")
    for name in SETS:
        assert "not here" not in set_of(name).line
    with pytest.raises(ConfigError, match="unknown benchmark set 'x'; there are wiggle150, oc20neb"):
        set_of("x")


def test_fetch_gives_the_sum_and_takes_one(call, data: Path) -> None:
    path = conformers_file(data / wiggle150.FILE.name)
    value = hashlib.sha256(path.read_bytes()).hexdigest()
    assert call("data", "fetch", "wiggle150").stdout == f"{value}  {path}\n"
    for words, reason in (
        (("wiggle150", "--sha256", "abc"), "expected 64 hexadecimal digits"),
        (("matpes", "--sha256", value), "1 given, expected one for each of MatPES-PBE"),
        (("h2co", "--sha256", value), "the sums of h2co are known"),
    ):
        failed = call("data", "fetch", *words)
        assert failed.exit_code == 2
        assert reason in failed.stderr


def test_measure_prints_the_scores(call, data: Path, tmp_path: Path, monkeypatch) -> None:
    (tmp_path / HEADER).write_text("{}")
    monkeypatch.setattr(mfbench, "load", lambda path: Sizes(slope=1.5))
    missing = call("measure", tmp_path, "--on", "wiggle150")
    assert missing.exit_code == 2
    assert "not here: mfbench data fetch wiggle150" in missing.stderr
    conformers_file(data / wiggle150.FILE.name)
    trajectories(data / "oc20neb")
    table = call("measure", tmp_path, "--on", "wiggle150").stdout
    assert "| relative energy MAE |" in table
    assert "kcal/mol | 9 |" in table
    rows = json.loads(call("measure", tmp_path, "--on", "oc20neb", "--plan", "domain=all", "--format", "json").stdout)
    assert {row["metric"]: row["n"] for row in rows}["barrier_mae_ev"] == 3
    for words, reason in (
        (
            ("oc20neb", "--plan", "domain=x"),
            "--plan domain: Input should be 'ood', 'id' or 'all'; its keys are domain, most",
        ),
        (("oc20neb", "--plan", "most"), "expected KEY=VALUE"),
        (("y",), "unknown benchmark set"),
    ):
        failed = call("measure", tmp_path, "--on", *words)
        assert failed.exit_code == 2
        assert reason in failed.stderr
