"""The package as somebody installs it: outside of the clone, from its wheel, beside packages of the same names.

`tox run -e wheel` runs this; the test suite does not collect it, since there the clone itself is installed.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib.metadata import Distribution, distribution
from pathlib import Path

import pytest

CLONE = Path(__file__).resolve().parents[2]
FOLDERS = ("mfcore", "strategies", "benchmarks")
PRESET = """
name: tiny
summary: one short training on few frames
tasks:
  - task: molecular_cc
    regimes: { n_low: [20], n_high: [20], labels: ["low=EF,high=E"], pairing: [disjoint], coverage: [full] }
    arms: all
    seeds: [0]
    draws: [0]
    budget: { atom_gradients: 2.0e+3 }
    settings:
      core: { cutoff: 3.0, n_layers: 1, lmax: 1, channels: 8, radial_hidden: [8] }
      training: { batch_frames: 4 }
    expected_us_per_atom_gradient: 100
"""


@pytest.fixture(scope="session")
def installed() -> Distribution:
    return distribution("mfbench")


@pytest.fixture
def foreign(tmp_path: Path) -> Path:
    """A folder with packages of other people that are called as our folders are."""
    for name in FOLDERS:
        (tmp_path / "foreign" / name).mkdir(parents=True)
        (tmp_path / "foreign" / name / "__init__.py").write_text(f"theirs = '{name}'\n", encoding="utf-8")
    return tmp_path / "foreign"


def call(*command: str, cwd: Path, path: Path | None = None) -> str:
    """Output of a command that has to succeed; `path` is searched for modules first, as an earlier site-packages is."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    if path is not None:
        environment["PYTHONPATH"] = str(path)
    done = subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=environment, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def mfbench(*arguments: str, cwd: Path, path: Path | None = None) -> str:
    """Output of the console script of this environment."""
    script = Path(sys.executable).with_name("mfbench.exe" if os.name == "nt" else "mfbench")
    return call(str(script), *arguments, cwd=cwd, path=path)


def test_the_clone_is_out_of_sight(installed: Distribution, tmp_path: Path) -> None:
    where = call(sys.executable, "-c", "import mfbench.benchmarks as b; print(b.__file__)", cwd=tmp_path).strip()
    assert Path(where) == Path(str(installed.locate_file("mfbench/benchmarks/__init__.py")))
    assert not Path(where).is_relative_to(CLONE / "benchmarks")


def test_one_name_is_taken_in_site_packages(installed: Distribution) -> None:
    files = [Path(str(path)) for path in installed.files or []]
    tops = {path.parts[0] for path in files if not path.parts[0].startswith("..")}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"mfbench"}
    assert [path.name for path in files if path.parts[0] == ".."] == ["mfbench"]  # the console script


def test_every_file_of_the_clone_is_in_the_wheel(installed: Distribution) -> None:
    tracked = call("git", "ls-files", "--", *FOLDERS, cwd=CLONE).split()
    assert len(tracked) > 300
    assert [name for name in tracked if not Path(str(installed.locate_file(f"mfbench/{name}"))).is_file()] == []
    assert Path(str(installed.locate_file("mfbench/py.typed"))).is_file()


def test_version_and_names(installed: Distribution, tmp_path: Path) -> None:
    assert installed.version in mfbench("--version", cwd=tmp_path)
    listed = mfbench("list", cwd=tmp_path).split()
    groups = {point.group for point in installed.entry_points if point.group.startswith("mfbench.")}
    assert {f"mfbench.{kind}" for kind in ("strategies", "tasks", "cores", "observables")} <= groups
    for group in groups:
        names = {point.name for point in installed.entry_points if point.group == group}
        assert names - set(listed) == set(), group
    assert {path.stem for path in (CLONE / "benchmarks" / "presets").glob("*.yml")} <= set(listed)


def test_every_entry_point_loads(installed: Distribution) -> None:
    code = "from importlib.metadata import distribution\nfor p in distribution('mfbench').entry_points: p.load()"
    call(sys.executable, "-c", code, cwd=CLONE.parent)


def test_the_door_for_plugins(tmp_path: Path) -> None:
    code = (
        "import mfbench; from mfbench.strategies import Strategy; print(Strategy.__module__, mfbench.load.__module__)"
    )
    modules = call(sys.executable, "-c", code, cwd=tmp_path).split()
    assert all(module.startswith("mfbench.") for module in modules), modules


def test_a_run_and_its_reports_beside_packages_of_the_same_names(tmp_path: Path, foreign: Path) -> None:
    both = (
        "import benchmarks, mfcore, strategies, mfbench.strategies\n"
        "print(benchmarks.theirs, mfcore.theirs, strategies.theirs, mfbench.strategies.Strategy.__name__)"
    )
    assert call(sys.executable, "-c", both, cwd=foreign, path=foreign).split() == [
        *("benchmarks", "mfcore", "strategies"),
        "Strategy",
    ]
    preset, runs, page = foreign / "tiny.yml", tmp_path / "runs", tmp_path / "page.html"
    preset.write_text(PRESET, encoding="utf-8")
    mfbench(
        *("run", str(preset), "--task", "molecular_cc", "--arm", "single_fidelity", "--out", str(runs)),
        *("--workers", "1"),
        cwd=foreign,
        path=foreign,
    )
    table = mfbench("report", str(runs), cwd=foreign, path=foreign)
    errors, costs = re.findall(r"^single_fidelity +(.+)$", table, re.MULTILINE)
    for row in (errors, costs):
        cells = row.split()
        assert float(cells[0]) > 0
        assert cells[-2:] == ["1", "0"]  # runs, failed
    mfbench("report", str(runs), "--format", "html", "--out", str(page), cwd=foreign, path=foreign)
    assert "single_fidelity" in page.read_text(encoding="utf-8")
