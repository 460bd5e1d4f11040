"""`mfbench discover` on workers: the results of one process, each material once, lost workers and released models."""

from __future__ import annotations

import json
import os
import signal
from collections import Counter
from pathlib import Path

import pytest
from ase import Atoms
from ase.build import bulk
from ase.io import write

from mfbench.benchmarks.discovery import workers
from mfbench.benchmarks.discovery.materials import Material
from mfbench.benchmarks.discovery.relaxations import read_relaxed, relaxed_here
from mfbench.benchmarks.discovery.workers import Chunk, Model, relax_chunk, relaxed_by
from mfbench.benchmarks.harness.executors.base import Died, Done, Started, Told
from mfbench.benchmarks.harness.executors.local import LocalExecutor
from mfbench.mfcore.cores.choice import CoreChoice
from mfbench.mfcore.potentials.potential import Component, Potential, load

SPECIES = (13, 29)
SETTINGS = {"fmax": 0.05, "max_steps": 3}
KILLER = "kills-its-worker"


def crystals(number: int = 7) -> list[Atoms]:
    made = []
    for i in range(number):
        atoms = bulk("Cu", "fcc", a=3.6 + 0.02 * i, cubic=True)
        atoms.symbols[: i % 3] = "Al"
        atoms.rattle(0.05, seed=i)
        atoms.info["material_id"] = f"m-{i}"
        made.append(atoms)
    return made


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network with random weights: what it says is no physics, but always the same."""
    import torch

    choice = CoreChoice(name="equivariant", cutoff=3.0, n_layers=1, lmax=1, channels=4, n_bessel=4, radial_hidden=[8])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        core = choice.build(SPECIES, ("pbe",), "none", 12.0)
    folder = tmp_path_factory.mktemp("model") / "model"
    Potential("plain", [core], {"pbe": (Component(0, "pbe"),)}).save(folder)
    return folder


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    write(tmp_path / "initial.xyz", crystals(), format="extxyz")
    write(tmp_path / "elements.xyz", [bulk("Cu"), bulk("Al")], format="extxyz")
    return tmp_path / "initial.xyz", tmp_path / "elements.xyz"


def discover(call, files, out, *more):
    words = ("--structures", files[0], "--references", files[1], "--out", out, "--max-steps", 3)
    return call("discover", *more, *words)


def test_workers_give_what_one_process_gives_and_relax_nothing_twice(call, model, files, tmp_path) -> None:
    alone = discover(call, files, tmp_path / "alone", model)
    assert alone.exit_code == 0, alone.stderr
    out = tmp_path / "shared"
    assert discover(call, files, out, model, "--limit", 3).exit_code == 0
    first = next(out.glob("relaxed-*.jsonl")).read_text()
    result = discover(call, files, out, model, "--workers", 2)
    assert result.exit_code == 0, result.stderr
    (lines,) = out.glob("relaxed-*.jsonl")
    assert lines.read_text().startswith(first)
    assert Counter(json.loads(line)["material_id"] for line in lines.read_text().splitlines()) == Counter(
        f"m-{i}" for i in range(7)
    )
    for path in (tmp_path / "alone").glob("mfbench*"):
        assert (out / path.name).read_bytes() == path.read_bytes()


def materials(*ids: str) -> list[Material]:
    return [Material(name, atoms) for name, atoms in zip(ids, crystals(len(ids)), strict=True)]


def killing_chunk(chunk: Chunk, tell) -> None:
    """As the function of a job, with a material that takes its process along."""
    for material in chunk.materials:
        if material.id == KILLER:
            os.kill(os.getpid(), signal.SIGKILL)
        relax_chunk(Chunk(chunk.model, (material,), chunk.settings), tell)


def test_a_material_that_kills_its_worker_is_lost_and_no_other(model, monkeypatch) -> None:
    monkeypatch.setattr(workers, "relax_chunk", killing_chunk)
    monkeypatch.setattr(workers, "CHUNKS_A_WORKER", 1)
    lost: list[tuple[str, str]] = []
    given = materials("a", KILLER, "b", "c")
    found = list(relaxed_by(LocalExecutor(1), 1, Model.of(model, "pbe"), given, SETTINGS, lambda *w: lost.append(w)))
    assert [line.material_id for line in found] == ["a", "b", "c"]
    assert lost == [(KILLER, "its process was killed by signal 9")]
    here = {line.material_id: line for line in relaxed_here(given, load(model), "pbe", **SETTINGS)}
    assert [line.energy_ev for line in found] == pytest.approx([here[line.material_id].energy_ev for line in found])


class _Repeating:
    """An executor whose first worker is lost after one material, and whose messages come twice."""

    def run(self, jobs):
        for number, job in enumerate(jobs):
            yield Started(number)
            told: list = []
            job.function(job.ready().argument, told.append)
            yield Told(number, told[0])
            yield Told(number, told[0])
            again: list = []
            job.function(job.ready().argument, again.append)
            assert told[0].material_id not in [line.material_id for line in again]
            yield from (Told(number, line) for line in again)
            yield Done(number, None)


def test_a_chunk_that_goes_to_another_worker_has_only_what_is_left(model) -> None:
    lost: list = []
    given = materials("a", "b", "c")
    model_of = Model.of(model, "pbe", sent=True)
    found = list(relaxed_by(_Repeating(), 1, model_of, given, SETTINGS, lambda *w: lost.append(w)))
    assert [line.material_id for line in found] == ["a", "b", "c"]
    assert lost == []


class _Broken:
    def run(self, jobs):
        yield from (Died(number, error="OSError: no such model") for number in range(len(jobs)))


def test_workers_that_can_do_nothing_end_it(model) -> None:
    lost: list[tuple[str, str]] = []
    given = materials("a", "b", "c", "d")
    assert not list(relaxed_by(_Broken(), 4, Model.of(model, "pbe"), given, SETTINGS, lambda *w: lost.append(w)))
    assert {reason for _, reason in lost} == {"it raised OSError: no such model"}


def test_a_checkpoint_is_a_model_without_a_fit(call, model, files, tmp_path) -> None:
    fitted = discover(call, files, tmp_path / "a", model, "--name", "x")
    released = discover(call, files, tmp_path / "b", "--checkpoint", model, "--name", "x", "--workers", 2)
    assert (fitted.exit_code, released.exit_code) == (0, 0), released.stderr
    table = "x-wbm-IS2RE-FIRE.csv.gz"
    assert (tmp_path / "a" / table).read_bytes() == (tmp_path / "b" / table).read_bytes()
    assert load(tmp_path / "b" / "model").arm == "released"
    assert len(read_relaxed(tmp_path / "b")) == 7


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "expected MODEL, the folder of a potential, or --checkpoint"),
        (("MODEL", "--checkpoint", "x"), "give one"),
        (("MODEL", "--core", "sevennet"), "are for --checkpoint"),
        (("--checkpoint", "nowhere"), "there is no file nowhere"),
        (("MODEL", "--scheduler", "tcp://a:1"), "give --executor dask, too"),
        (("MODEL", "--fidelity", "cc"), "this potential answers for pbe"),
    ],
)
def test_slips_of_the_model_and_the_place_are_one_sentence(call, model, files, tmp_path, words, message) -> None:
    found = discover(call, files, tmp_path / "out", *(str(model) if word == "MODEL" else word for word in words))
    assert found.exit_code == 2
    assert message in found.stderr
    assert not (tmp_path / "out").exists()
