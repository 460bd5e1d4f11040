"""A plug-in of another package that is broken is named in one sentence, and costs nothing else."""

from __future__ import annotations

from importlib.metadata import EntryPoint

import pytest
from typer.testing import CliRunner

from mfbench.benchmarks.cli.main import app
from mfbench.benchmarks.observables import registry as observables
from mfbench.benchmarks.reports.arms import left_out
from mfbench.benchmarks.tasks import registry as tasks
from mfbench.benchmarks.tasks.base import Task
from mfbench.mfcore.cores import registry as cores
from mfbench.mfcore.errors import ConfigError
from mfbench.mfcore.plugins import loaded


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


def test_an_observable_that_cannot_be_made_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    point = EntryPoint("gone", "no_such_package:Observable", observables.GROUP)
    monkeypatch.setattr(observables, "entry_points", lambda group: [point])
    observables.observables.cache_clear()
    with pytest.raises(ConfigError, match="observable 'gone': no_such_package:Observable cannot be used"):
        observables.observables()
    observables.observables.cache_clear()


def test_only_arms_of_the_rows_are_said_to_be_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    left_out.cache_clear()
    monkeypatch.setattr(cores.core_class(cores.DEFAULT), "conditionings", ("none",))
    (said,) = left_out(cores.DEFAULT, ("transfer", "multi_fidelity"))
    assert "multi_fidelity (it needs one_hot)" in said
    assert "multi_head" not in said
    assert left_out(cores.DEFAULT, ("transfer",)) == ()
    left_out.cache_clear()
