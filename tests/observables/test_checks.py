"""Measurements are stored only as their observable declares them; anything else is a sentence with metric or column."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mfbench.benchmarks.harness.store import RunStore
from mfbench.benchmarks.observables.checks import checked
from mfbench.benchmarks.observables.declarations import Metric
from mfbench.benchmarks.observables.evaluation import Evaluation, metric_row
from mfbench.benchmarks.observables.mixing.observable import Mixing, MixingPlan
from mfbench.mfcore.errors import ConfigError
from tests.harness.conftest import fakes as fakes
from tests.harness.conftest import spec
from tests.harness.test_runner import compute

OWN: Any = SimpleNamespace(
    name="own",
    metrics=(Metric("gap_ev_{T}K", "gap", "gap", "eV", "lower", "own"),),
    details={"gaps": {"place": "int64", "name": "str", "gap_ev": "float64", "path": "object"}},
)
LINE: dict[str, Any] = {"place": 0, "name": "a", "gap_ev": 1.0, "path": [1.0, 2.0]}
ROW = metric_row("in_coverage", "gap_ev_300K", "eV", 1.5, 3)


def test_what_is_declared_passes() -> None:
    found = Evaluation([ROW], {"gaps": [LINE, LINE | {"gap_ev": float("nan"), "path": None}]})
    assert checked(OWN, found) is found


def test_a_lower_fidelity_stands_before_the_name_of_a_metric() -> None:
    found = Evaluation([ROW | {"metric": "cc2_gap_ev_300K"}])
    assert checked(OWN, found, ["hf", "cc2"]) is found
    with pytest.raises(ConfigError, match="metric 'cc2_gap_ev_300K' is not declared"):
        checked(OWN, found, ["hf"])


@pytest.mark.parametrize(
    ("found", "sentence"),
    [
        (None, r"measure\(\) gave None; expected an Evaluation"),
        ([ROW], r"measure\(\) gave list"),
        (Evaluation([ROW | {"unit": "meV"}]), "metric 'gap_ev_300K': its row is in 'meV', and it is declared in 'eV'"),
        (Evaluation([ROW | {"metric": "gap"}]), "metric 'gap' is not declared; .* gap_ev_{T}K"),
        (Evaluation([ROW | {"value": float("nan")}]), "metric 'gap_ev_300K', split 'in_coverage': its value is nan"),
        (Evaluation([ROW | {"n": "3"}]), "metric 'gap_ev_300K', key 'n': found str 3; expected a whole number"),
        (Evaluation([{"metric": "gap"}]), "expected the keys split, metric, unit, value, n"),
        (Evaluation([], {"holes": []}), "detail 'holes' is not declared; .* gaps"),
        (Evaluation([], {"gaps": [{"place": 0}]}), "detail 'gaps', line 0, column 'gap_ev': it is missing"),
        (Evaluation([], {"gaps": [LINE, LINE | {"b": 1}]}), "line 1, column 'b': it is not declared"),
        (Evaluation([], {"gaps": [LINE | {"gap_ev": "wide"}]}), "column 'gap_ev': found str wide; expected float64"),
        (
            Evaluation([], {"gaps": [LINE | {"path": 1.0}]}),
            "column 'path': found float 1.0; expected a list",
        ),
    ],
)
def test_anything_else_is_refused_by_name(found: Any, sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        checked(OWN, found)


def test_the_other_observables_keep_their_rows(fakes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = Evaluation([metric_row("mixing", "mixing_energy_mae_mev_per_atom", "eV/atom", 0.5, 4)])
    monkeypatch.setattr(Mixing, "measure", lambda *args: wrong)
    monkeypatch.setattr(Mixing, "identity", lambda self, task, plan: {})
    store = RunStore(tmp_path / "out")
    compute(store, [spec(observables={"mixing": MixingPlan()})])
    rows = store.rows()
    assert "energy_mae_mev_per_atom" in set(rows["metric"])
    assert "mixing_energy_mae_mev_per_atom" not in set(rows["metric"])
    assert rows["n_failed"].sum() == 1
    reason = store.load(rows["run_key"][0]).record["reason"]
    assert reason.startswith("observable 'mixing': metric 'mixing_energy_mae_mev_per_atom': its row is in 'eV/atom'")
