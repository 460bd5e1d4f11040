"""A plug-in of another package that is broken is named in one sentence, and costs nothing else."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from mfbench.benchmarks.cli.main import app
from mfbench.benchmarks.harness.columns import detail_types
from mfbench.benchmarks.harness.rows_file import write_rows
from mfbench.benchmarks.observables import registry as observables
from mfbench.benchmarks.reports.arms import left_out, traits
from mfbench.benchmarks.reports.metrics import metrics, report_sections
from mfbench.benchmarks.tasks import registry as tasks
from mfbench.benchmarks.tasks.base import Task
from mfbench.mfcore.cores import registry as cores
from mfbench.mfcore.errors import ConfigError
from mfbench.mfcore.plugins import loaded, packages_of
from mfbench.strategies import registry as arms
from tests.reports.synthetic import make_rows


class Incomplete(Task):
    name = "incomplete"


POINTS = {
    "incomplete": EntryPoint("incomplete", f"{__name__}:Incomplete", "mfbench.tasks"),
    "elsewhere": EntryPoint("elsewhere", "no_such_package:Task", "mfbench.tasks"),
}


@pytest.mark.parametrize(("name", "why"), [("incomplete", "abstract"), ("elsewhere", "No module named")])
def test_the_error_names_the_plug_in_and_the_reason(name: str, why: str) -> None:
    with pytest.raises(ConfigError, match=f"task '{name}': .*cannot be used .*{why}"):
        loaded("task", POINTS[name], made=True)


def test_the_others_are_listed_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    known = tasks._entry_points()
    monkeypatch.setattr(tasks, "_entry_points", lambda: {**known, **POINTS})
    said = CliRunner().invoke(app, ["list", "tasks"], env={"COLUMNS": "300"})
    assert said.exit_code == 0, said.output
    assert "molecular_cc" in said.output
    assert "incomplete" in said.output
    assert "cannot be used" in said.output


def test_a_core_that_cannot_be_imported_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    point = EntryPoint("gone", "no_such_package:Core", cores.GROUP)
    monkeypatch.setattr(cores, "_points", lambda: {"gone": point})
    with pytest.raises(ConfigError, match="core 'gone': no_such_package:Core cannot be used"):
        cores.core_class("gone")
    for what in ("cores", "arms"):
        said = CliRunner().invoke(app, ["list", what], env={"COLUMNS": "300"})
        assert said.exit_code == 0, said.output
    assert left_out.__wrapped__("gone", ("transfer", "multi_fidelity")) == ()


ARMS = """
from typing import ClassVar
from mfbench.strategies import Strategy
from mfbench.strategies.transfer import Transfer

class Unfinished(Strategy):
    name: ClassVar[str] = "unfinished"
    summary: ClassVar[str] = "an arm without _fit"

class Nameless(Strategy):
    summary: ClassVar[str] = "an arm without a name"
    def _fit(self, run): ...

class Heir(Transfer):
    pass

class Sound(Transfer):
    name: ClassVar[str] = "sound"
    summary: ClassVar[str] = "an arm of another package"

class Shadow(Transfer):
    summary: ClassVar[str] = "an arm with the name of a built-in one"

number = 3

from mfbench.benchmarks.observables.errors.observable import Errors

class Copied(Errors):
    name = "copied"
"""
BROKEN_ARMS = {
    "gone": ("no_such_package:Arm", "ModuleNotFoundError"),
    "exits": ("outside_exits:Arm", "SystemExit: 3"),
    "function": ("math:sqrt", "it is no class on mfbench.strategies.Strategy"),
    "unfinished": ("outside_arms:Unfinished", "the class lacks _fit"),
    "nameless": ("outside_arms:Nameless", "name is None, expected 'nameless'"),
    "heir": ("outside_arms:Heir", "name is 'transfer', expected 'heir'"),
}
BROKEN_OBSERVABLES = {
    "gone": ("no_such_package:Observable", "ModuleNotFoundError"),
    "exits": ("outside_exits:Observable", "SystemExit: 3"),
    "number": ("outside_arms:number", "found 3, expected a class or function"),
    "arm": ("outside_arms:Sound", "it makes no mfbench.benchmarks.observables.base.Observable"),
}
Install = Callable[..., None]


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Install]:
    """Install a package that has entry points, by group and name."""
    caches: tuple[Any, ...] = (arms._points, cores._points, observables.observables, packages_of, left_out, traits)
    caches = (*caches, metrics, report_sections, detail_types)
    site = tmp_path / "site"
    site.mkdir()
    (site / "outside_arms.py").write_text(ARMS)
    (site / "outside_exits.py").write_text("import sys\nsys.exit(3)\n")
    monkeypatch.setenv("COLUMNS", "300")

    def call(package: str, **groups: Mapping[str, str]) -> None:
        folder = site / f"{package}-1.0.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
        lines = [
            line
            for group, points in groups.items()
            for line in (f"[mfbench.{group}]", *(f"{name} = {value}" for name, value in points.items()))
        ]
        (folder / "entry_points.txt").write_text("\n".join(lines))
        monkeypatch.syspath_prepend(site)
        for cache in caches:
            cache.cache_clear()

    yield call
    monkeypatch.undo()
    for cache in caches:
        cache.cache_clear()


def preset_of(folder: Path, observables: str) -> str:
    """A preset of all arms on a small task."""
    path = folder / "preset.yml"
    regimes = "{n_low: [50], n_high: [20], labels: ['low=EF,high=E'], coverage: [gap]}"
    plan = f"task: molecular_cc, regimes: {regimes}, budget: {{atom_gradients: 1000}}, observables: {observables}"
    path.write_text(f"name: small\ntasks: [{{{plan}}}]\n")
    return str(path)


def say(*words: str, code: int = 0) -> str:
    """Output of a command, on one line."""
    done = CliRunner().invoke(app, [*words])
    assert done.exit_code == code, done.output
    return " ".join(done.output.split())


def test_broken_arms_and_observables_are_left_out_with_the_reason(install: Install, tmp_path: Path) -> None:
    install(
        "outsider",
        strategies={name: value for name, (value, _) in BROKEN_ARMS.items()} | {"sound": "outside_arms:Sound"},
        observables={name: value for name, (value, _) in BROKEN_OBSERVABLES.items()}
        | {"copied": "outside_arms:Copied"},
    )
    assert "sound an arm of another package" in say("list", "arms")
    assert "errors" in say("list", "observables")
    selected = (preset_of(tmp_path, "{}"), "--out", str(tmp_path / "runs"))
    planned = say("plan", *selected)
    assert "sound" in planned.partition("Labelled frames")[0]
    for said, kinds in (
        (say("list", "arms"), [("arm", BROKEN_ARMS)]),
        (say("list", "observables"), [("observable", BROKEN_OBSERVABLES)]),
        (planned, [("arm", BROKEN_ARMS), ("observable", BROKEN_OBSERVABLES)]),
        (say("run", *selected, "--dry-run"), [("arm", BROKEN_ARMS), ("observable", BROKEN_OBSERVABLES)]),
    ):
        for kind, broken in kinds:
            for name, (value, why) in broken.items():
                start = f"{kind} '{name}' of package outsider: {value} cannot be used ("
                assert start in said
                assert why in said.partition(start)[2].partition("repair or uninstall")[0]
    assert "observables 'copied' and 'errors' both declare the " in planned
    rows = tmp_path / "rows.csv.gz"  # with results of an arm that cannot be used now
    write_rows(make_rows({"single_fidelity": 20.0, "transfer": 10.0, "unfinished": 15.0}, draws=2), rows)
    reported = say("report", str(rows), "--format", "md")
    assert "unfinished" in reported
    assert "left out: arm 'exits' of package outsider" in reported
    # where one is named, it is an error
    assert "arm 'unfinished' of package outsider" in say("plan", *selected, "--arm", "unfinished", code=2)
    preset = preset_of(tmp_path, "{exits: {}}")
    assert "observable 'exits' of package outsider" in say("plan", preset, code=2).rpartition("error:")[2]
    with pytest.raises(ConfigError, match="observable 'number' of package outsider"):
        observables.observable_of("number")
    assert not arms.is_arm("unfinished")
    assert not traits("unfinished").installed


def test_a_name_that_several_packages_bring_is_said(install: Install, tmp_path: Path) -> None:
    install("one_package", strategies={"transfer": "outside_arms:Shadow", "sound": "outside_arms:Sound"})
    install("two_package", strategies={"sound": "outside_arms:Sound"})
    selected = (preset_of(tmp_path, "{}"), "--out", str(tmp_path / "runs"))
    for said in (say("list", "arms"), say("plan", *selected), say("run", *selected, "--dry-run")):
        assert "arm 'transfer' is brought by the packages mfbench and one_package: the built-in one counts." in said
        assert "arm 'sound' is brought by the packages one_package and two_package: none can be used" in said
    assert arms.arm_class("transfer").__module__ == "mfbench.strategies.transfer"
    said = say("plan", *selected, "--arm", "sound", code=2)
    assert "error: arm 'sound': the packages one_package and two_package bring one each; uninstall all but one." in said


def test_only_arms_of_the_rows_are_said_to_be_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    left_out.cache_clear()
    monkeypatch.setattr(cores.core_class(cores.DEFAULT), "conditionings", ("none",))
    (said,) = left_out(cores.DEFAULT, ("transfer", "multi_fidelity"))
    assert "multi_fidelity (it needs one_hot)" in said
    assert "multi_head" not in said
    assert left_out(cores.DEFAULT, ("transfer",)) == ()
    left_out.cache_clear()
