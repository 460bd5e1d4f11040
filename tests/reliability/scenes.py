"""The commands that write, each on small files in a folder of its own, and what it has made in the end."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from ase import Atoms
from ase.io import write

import mfbench
from mfbench.benchmarks.harness.store import RunStore
from mfbench.mfcore.provenance import tensors_hash
from mfbench.mfcore.sealed import read_sealed
from tests.cli.test_own_files import TINY, Files, labels
from tests.reliability.commands import TIMES, hidden
from tests.reliability.warm import Warm

Made = dict[str, str]
"""By name, all of what was made, but for times."""


@dataclass(frozen=True)
class Scene:
    """A command that writes.

    Attributes
    ----------
    words
        The command, by the folder that it runs in.
    made
        What there is in a folder afterwards; things that are not there are left out.
    needs
        Commands that are given before, once.
    files
        Writes the files that it starts from.
    before
        MODULE:FUNCTION that is called in the process first.
    """

    words: Callable[[Path], list[object]]
    made: Callable[[Path], Made]
    needs: tuple[str, ...] = ()
    files: Callable[[Path], object] = lambda folder: None
    before: str = ""


def preset(folder: Path) -> Path:
    """A preset of the fakes."""
    plan: dict[str, Any] = {"task": "fake_task", "arms": ["fake_steps"], "seeds": [0, 1, 2]}
    plan |= {"budget": {"atom_gradients": 1000}, "arm_settings": {"fake_steps": {"pause_s": 0.0, "steps": 3}}}
    plan["regimes"] = {"n_low": [10], "n_high": [9], "coverage": ["full"]}
    (folder / "mine.yml").write_text(json.dumps({"name": "mine", "tasks": [plan]}))
    other = plan | {"arms": ["fake_mean"], "arm_settings": {}}
    (folder / "other.yml").write_text(json.dumps({"name": "mine", "tasks": [other]}))
    (folder / "space.yml").write_text("all:\n  shift: {low: -1.0, high: 1.0}\n")
    for name in OLD:
        (folder / name).write_text("the old one")
    return folder / "mine.yml"


OLD = ("page.html", "rows.csv.gz", "tables.json")


def user_files(folder: Path) -> None:
    """Files of a user's, and settings with a checkpoint after every step."""
    Files(folder)
    (folder / "settings.yml").write_text(json.dumps(TINY | {"training": TINY["training"] | {"checkpoint_s": 0.03}}))
    (folder / "predicted.xyz").write_text("the old one")


def materials(folder: Path) -> None:
    """Files of a user's, molecules to relax, and elements of their kinds."""
    user_files(folder)
    molecules = [Atoms("OH2", [[0, 0, 0], [0.96, 0, 0], [-0.24, 0.93 + 0.02 * i, 0]]) for i in range(3)]
    for number, atoms in enumerate(molecules):
        atoms.info["material_id"] = f"m{number}"
    write(folder / "initial.xyz", molecules, format="extxyz")
    pairs = [Atoms(pair, [[0, 0, 0], [1.0, 0, 0]]) for pair in ("H2", "O2")]
    write(folder / "elements.xyz", pairs, format="extxyz")


def _runs(folder: Path) -> Made:
    """Rows and details of each run that is stored, by arm, draw and seed."""
    store = RunStore(folder / "runs")
    found = {}
    for key in store.current_keys():
        run = store.load(key)
        assert run.status == "finished", run.record["reason"]
        rows = run.rows.drop(columns=list(TIMES)).sort_values(["split", "metric"], ignore_index=True)
        details = [store._table(key, name, total).to_json() for name, total in run.record["details_sha256"].items()]
        found["/".join(str(rows.at[0, c]) for c in ("arm", "draw", "seed"))] = "".join(
            [str(rows.to_json(double_precision=15)), *details]
        )
    return found


def weights(folder: Path) -> Made:
    """The hash of the weights of a fit; the order of what a file of them says of itself is free."""
    if not (folder / "model").exists():
        return {}
    return {"model": "".join(tensors_hash(core.state_dict()) for core in mfbench.load(folder / "model").cores)}


def _files(*names: str) -> Callable[[Path], Made]:
    def made(folder: Path) -> Made:
        paths = [p for name in names for p in sorted(folder.glob(name)) if not p.name.startswith(".")]
        return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in paths}

    return made


def _trials(folder: Path) -> Made:
    found = {}
    for path in (folder / "trials").glob("*/[!.]*.json"):
        record = read_sealed(path, "the record of a trial", 2, "")
        found[path.stem] = json.dumps([record["status"], record["loss"], record["values"], record["atom_gradients"]])
    path = folder / "tuned.yml"
    return found | ({"tuned": json.dumps(yaml.safe_load(path.read_text())["arms"])} if path.exists() else {})


def _baseline(folder: Path) -> Made:
    found = {}
    if (folder / "base.json").exists():
        found["base"] = json.dumps(json.loads((folder / "base.json").read_text())["cells"])
    past = folder / "base.history.jsonl"
    if past.exists():
        found["history"] = json.dumps([json.loads(line)["metrics"] for line in past.read_text().splitlines()[1:]])
    return found


def _labels(folder: Path) -> Made:
    return _files("labels/data/*.extxyz", "labels/geometries.extxyz")(folder)


RUN = ["run", "mine.yml", "--out", "runs", "--workers", 1]
OTHER = ["run", "other.yml", "--out", "runs", "--workers", 1]
FIT = ["fit", "--arm", "transfer", "--low", "low.xyz", "--high", "high.xyz", "--out", "model"]
FIT += ["--settings", "settings.yml", "--budget", 800]
COMPARE = ["compare", "--low", "low.xyz", "--high", "high.xyz", "--out", "runs", "--settings", "settings.yml"]
COMPARE += ["--budget", 500, "--draws", 1, "--workers", 1, "--arm", "single_fidelity", "--arm", "transfer"]
TUNE = ["tune", "mine.yml", "--arm", "fake_steps", "--trials", 3, "--space", "space.yml", "--workers", 1]
TUNE += ["--out", "tuned.yml", "--runs", "trials"]

DISCOVER = ["discover", "model", "--structures", "initial.xyz", "--references", "elements.xyz", "--out", "found"]
DISCOVER += ["--max-steps", 3]

BOTH = ("run", "other")

SCENES: dict[str, Scene] = {
    "run": Scene(lambda f: RUN, _runs, files=preset),
    "fit": Scene(lambda f: FIT, weights, files=user_files),
    "compare": Scene(lambda f: COMPARE, _runs, files=user_files),
    "tune": Scene(lambda f: TUNE, _trials, files=preset),
    "report": Scene(
        lambda f: ["report", "runs", "--format", "html", "--out", "page.html"], _files("page.html"), BOTH, preset
    ),
    "tables": Scene(
        lambda f: ["report", "runs", "--format", "json", "--out", "tables.json"], _files("tables.json"), BOTH, preset
    ),
    "export": Scene(lambda f: ["export", "runs", "rows.csv.gz"], _files("*.csv.gz", "*.parquet"), BOTH, preset),
    "figures": Scene(
        lambda f: ["figures", "runs", "--out", "figures", "--only", "heat-map"], _files("figures/*"), BOTH, preset
    ),
    "regress": Scene(
        lambda f: ["regress", "runs", "--preset", "mine.yml", "--baseline", "base.json", "--update"],
        _baseline,
        ("run",),
        preset,
    ),
    "predict": Scene(
        lambda f: ["predict", "model", "high.xyz", "--out", "predicted.xyz"],
        _files("predicted.xyz"),
        ("fit",),
        user_files,
    ),
    "export-model": Scene(
        lambda f: ["export-model", "model", "--format", "lammps", "--out", "exported"],
        _files("exported/core*", "exported/*lammps*"),
        ("fit",),
        user_files,
    ),
    "discover": Scene(lambda f: DISCOVER, _files("found/mfbench*"), ("fit",), materials),
    "generate": Scene(
        lambda f: ["data", "generate", "molecular_cc", "--out", "labels"],
        _labels,
        before="tests.reliability.scenes:fake_programs",
    ),
}


def fake_programs() -> None:
    """Let the labels of molecular_cc be those of springs, in this process."""
    from concurrent.futures import Future

    from mfbench.benchmarks.labelling.molecular_cc import generate

    def sample(names: list[str]) -> list[Atoms]:
        if names != ["H2O"]:
            return []
        frames = []
        for number in range(2):
            atoms = Atoms("OH2", [[0, 0, 0], [0.96, 0, 0], [-0.24, 0.93 + 0.05 * number, 0]])
            atoms.info |= {"structure_id": f"H2O-{number}", "group": "H2O", "molecule": "H2O"}
            atoms.info |= {"temperature_K": 300, "n_heavy": 1}
            frames.append(atoms)
        return frames

    def compute(atoms: Atoms, level: str) -> dict[str, Any]:
        energy, forces = labels(atoms, "low" if level == "low" else "high")
        return {"energy_eV": energy} | ({} if level == "high" else {"forces_eV_per_A": forces.tolist()})

    class Here:
        def __init__(self, *args: object, **options: object) -> None:
            pass

        def __enter__(self) -> Here:
            return self

        def __exit__(self, *args: object) -> None:
            pass

        def submit(self, function: Callable[..., Any], *args: object) -> Future[Any]:
            future: Future[Any] = Future()
            try:
                future.set_result(function(*args))
            except Exception as error:
                future.set_exception(error)
            return future

    for name, value in {"sample": sample, "compute": compute, "ProcessPoolExecutor": Here}.items():
        setattr(generate, name, value)
    generate._require_programs = lambda: None


class Stage:
    """A scene with its folder, which is put back to its beginning; what it makes undisturbed is `right`."""

    def __init__(self, warm: Warm, name: str, folder: Path) -> None:
        self.warm, self.name, self.scene, self.folder = warm, name, SCENES[name], folder / name / "here"
        self._start = folder / name / "start"
        self._start.mkdir(parents=True)
        self.folder.mkdir()
        self.scene.files(self.folder)
        for need in self.scene.needs:
            words = OTHER if need == "other" else SCENES[need].words(self.folder)
            ended = warm.call(words, self.folder)
            assert ended.code == 0, ended.err
        shutil.copytree(self.folder, self._start, dirs_exist_ok=True)
        self.before = self.made()
        self.undisturbed = self.call()
        assert self.undisturbed.code == 0, self.undisturbed.err
        self.right = self.made()
        assert self.right != self.before
        assert self.litter() == []

    def call(self, **options: Any) -> Any:
        """Run the command."""
        return self.warm.call(self.scene.words(self.folder), self.folder, before=self.scene.before, **options)

    def reset(self) -> None:
        """Put the folder back to its beginning."""
        shutil.rmtree(self.folder)
        shutil.copytree(self._start, self.folder)

    def made(self) -> Made:
        """Things that are there, all of which can be read."""
        return self.scene.made(self.folder)

    def litter(self) -> list[str]:
        """Names that should not stay."""
        return hidden(self.folder)

    def check_whole(self, told: object) -> None:
        """Whatever is there is as it was before, or as it is in the end."""
        for name, content in self.made().items():
            assert content in (self.before.get(name), self.right.get(name)), (told, name)

    def check_right(self, told: object) -> None:
        """Give the command again: it ends as if nothing had disturbed it."""
        ended = self.call()
        again = self.name == "fit" and ended.code == 2 and "exists already" in ended.err
        assert ended.code == 0 or again, (told, ended.out, ended.err)
        assert self.made() == self.right, told
        assert self.litter() == [], told
        assert not (self.folder / "runs" / "work").exists(), told
