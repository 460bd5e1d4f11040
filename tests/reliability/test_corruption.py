"""Stored files of every kind that were damaged are refused in a sentence, or say the same as before.

Each is read by the command that reads it, in a process of its own: none may die, hang, or take much memory.
"""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from mfbench.mfcore.backends.cpp.compile import compiler
from tests.reliability.counts import COUNTS, MOST
from tests.reliability.damage import damage
from tests.reliability.scenes import FIT, OTHER, RUN, TUNE, preset, user_files, weights
from tests.reliability.warm import Ended, Warm, warm

MOST_MB, LONGEST_S = 1000, 60.0


@dataclass(frozen=True)
class Kind:
    """A kind of stored files, and the command that reads them.

    Attributes
    ----------
    files
        Patterns of their names.
    words
        The command.
    start
        Writes what the folder starts from.
    needs
        Commands that make the files.
    result
        Patterns of the files that the command writes; none: what it prints counts.
    cases
        Number of damages in the long test.
    """

    files: tuple[str, ...]
    words: list[object]
    start: Callable[[Path], object]
    needs: tuple[list[object], ...] = ()
    result: tuple[str, ...] = ()
    cases: int = 60
    before: str = ""
    kill_at: float = 0.0


EXPORT = ["export", "runs", "rows.csv.gz", "--predictions-of-draw", 0]
UPDATE = ["regress", "runs", "--preset", "mine.yml", "--baseline", "base.json", "--update"]


def tuned(folder: Path) -> None:
    """A preset that uses tuned settings."""
    content = yaml.safe_load(preset(folder).read_text())
    content["tasks"][0] |= {"tuned": "tuned.yml", "arm_settings": {}}
    (folder / "tuned-preset.yml").write_text(yaml.safe_dump(content))


def nothing(folder: Path) -> None:
    pass


KINDS: dict[str, Kind] = {
    "stored runs": Kind(
        ("runs/plan.json", "runs/runs/*/*"),
        ["export", "runs", "again.csv.gz"],
        preset,
        (RUN, OTHER),
        ("again.csv.gz", "blocks.csv.gz"),
        cases=160,
    ),
    "exported rows and details": Kind(
        ("*.csv.gz", "*.parquet"),
        ["report", "rows.csv.gz", "--format", "html", "--out", "again.html"],
        preset,
        (RUN, OTHER, EXPORT),
        ("again.html",),
        cases=90,
    ),
    "tuned settings": Kind(("tuned.yml",), ["run", "tuned-preset.yml", "--out", "new", "--dry-run"], tuned, (TUNE,)),
    "trials": Kind(
        ("trials/trials/*",), [*TUNE[:-4], "--out", "again.yml", "--runs", "trials"], preset, (TUNE,), ("again.yml",)
    ),
    "baselines": Kind(
        ("base.json",),
        ["regress", "runs", "--preset", "mine.yml", "--baseline", "base.json", "--format", "json", "--details"],
        preset,
        (RUN, UPDATE),
        cases=90,
    ),
    "histories": Kind(
        ("base.history.jsonl",),
        ["regress", "--baseline", "base.json", "--trend", "again.png"],
        preset,
        (RUN, UPDATE),
        ("again.png",),
    ),
    "checkpoints": Kind(("model.partial/*",), FIT, user_files, result=("model/*",), cases=40, kill_at=0.6),
    "potentials": Kind(
        ("model/*",),
        ["predict", "model", "high.xyz", "--out", "again.xyz"],
        user_files,
        (FIT,),
        ("again.xyz",),
        cases=160,
    ),
    "kernels by C++": Kind(("cache/kernels/*",), ["--version"], nothing, before="by_cpp", cases=60),
    "kernels by numba": Kind(("cache/kernels/*/**/*",), ["--version"], nothing, before="by_numba", cases=30),
}


class Case:
    """A kind with files in a folder, and what its command says about them."""

    def __init__(self, server: Warm, name: str, folder: Path) -> None:
        self.server, self.kind, self.name, self.folder = server, KINDS[name], name, folder / "here"
        self._start = folder / "start"
        self.folder.mkdir(parents=True)
        self.kind.start(self.folder)
        for words in self.kind.needs:
            ended = self._call(words)
            assert ended.code == 0, ended.err
        if self.kind.kill_at:
            shutil.copytree(self.folder, folder / "copy")
            n = self.call().operations
            shutil.rmtree(self.folder)
            shutil.copytree(folder / "copy", self.folder)
            assert self._call(self.kind.words, at=int(self.kind.kill_at * n)).killed
        elif self.kind.before:
            self.call()
        shutil.copytree(self.folder, self._start)
        ended = self.call()
        assert ended.code == 0, ended.err
        self.right = self.result(ended)
        self.reset()
        self.files = sorted(
            {p.relative_to(self.folder) for f in self.kind.files for p in self.folder.glob(f) if p.is_file()}
        )
        self.files = [path for path in self.files if (self.folder / path).stat().st_size and path.name != ".lock"]
        assert self.files

    def _call(self, words: list[object], at: int = 0) -> Ended:
        before = f"tests.reliability.kernels:{self.kind.before}" if self.kind.before else ""
        cache = {"MFBENCH_CACHE": str(self.folder / "cache")} if self.kind.before else {}
        return self.server.call(words, self.folder, at=at, before=before, environment=cache, seconds=LONGEST_S)

    def call(self) -> Ended:
        return self._call(self.kind.words)

    def reset(self) -> None:
        shutil.rmtree(self.folder)
        shutil.copytree(self._start, self.folder)

    def result(self, ended: Ended) -> tuple[object, ...]:
        """All that the command gives, but for times."""
        if not self.kind.result:
            return (ended.code, ended.out)
        if "model/*" in self.kind.result:
            return (weights(self.folder),)
        found: list[object] = []
        for path in sorted(p for pattern in self.kind.result for p in self.folder.glob(pattern)):
            content: object = path.read_bytes()
            if path.suffix == ".yml":
                content = yaml.safe_load(path.read_text())["arms"]
            found.append((path.name, content))
        return tuple(found)

    def damage(self, seed: int) -> None:
        """Damage a file, and read."""
        self.reset()
        file = self.files[seed % len(self.files)]
        told = (self.name, str(file), seed, damage(self.folder / file, seed))
        ended = self.call()
        assert "Traceback" not in ended.out + ended.err, (told, ended.err)
        assert ended.peak_mb < MOST_MB, (told, ended.peak_mb)
        if ended.code == 2:
            (line,) = [line for line in ended.err.splitlines() if line.startswith("error: ")]
            assert file.name in line or file.parent.name in line or str(file.parts[0]) in line, (told, line)
            COUNTS["corruptions refused"][self.name] += 1
        else:
            assert ended.code == 0, (told, ended.code, ended.err)
            assert self.result(ended) == self.right, (told, ended.out, ended.err)
            COUNTS["corruptions without effect"][self.name] += 1
        for what, value in (("CPU s", ended.cpu_s), ("MB", ended.peak_mb)):
            MOST[what] = max(MOST[what], value)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Warm]:
    with warm(tmp_path_factory.mktemp("warm"), faults=True) as found:
        yield found


@pytest.fixture(scope="module", params=KINDS)
def case(request: pytest.FixtureRequest, server: Warm, tmp_path_factory: pytest.TempPathFactory) -> Case:
    if "C++" in request.param and compiler() is None:
        pytest.skip("no C++ compiler")
    if "numba" in request.param and importlib.util.find_spec("numba") is None:
        pytest.skip("numba is not installed")
    if KINDS[request.param].kill_at and not server.faults:
        pytest.skip("the layer of faults needs Linux and a C compiler")
    return Case(server, request.param, tmp_path_factory.mktemp("case"))


def test_a_few_damages(case: Case) -> None:
    for seed in range(5):
        case.damage(seed)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_many_damages(case: Case) -> None:
    for seed in range(5, 5 + case.kind.cases):
        case.damage(seed)
