"""Code of an observable that raises in a report or a figure is named in a line, and the rest is shown."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from mfbench.benchmarks.observables.mixing.observable import Mixing
from mfbench.benchmarks.reports import report
from mfbench.benchmarks.reports.answers import own_interval
from mfbench.benchmarks.reports.figures import figures
from mfbench.benchmarks.reports.results import Results
from tests.reports.synthetic import make_rows, with_metric

METRIC = "mixing_energy_mae_mev_per_atom"


def rows() -> Any:
    made = make_rows({"single_fidelity": 20.0, "transfer": 40.0}, draws=2, n_high=(25, 100))
    return with_metric(made, METRIC, "mixing", lambda arm, draw, seed: 3.0 + draw, "meV/atom")


def broken(*args: object) -> Any:
    raise KeyError("colour")


@pytest.mark.parametrize("method", ["words", "reference", "interval"])
def test_a_report_is_shown_without_what_an_observable_cannot_tell(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Mixing, method, broken)
    text = " ".join(report(Results(rows())).split())
    assert f"Observable 'mixing': {method}() raised KeyError: 'colour'; the table is without" in text
    assert "3.5" in text  # the mean over draws


def test_an_answer_of_another_kind_is_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    faults: dict[str, None] = {}
    monkeypatch.setattr(Mixing, "interval", lambda *args: ("wide", 3))
    plain: Any = None
    assert own_interval(Mixing(), METRIC, "transfer", lambda name: plain, plain, faults) is None
    assert list(faults) == [
        "Observable 'mixing': interval() raised TypeError: gave str, expected an Interval and a number of groups; the "
        "table is without what it gives."
    ]


def test_the_other_figures_are_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("broken_figure")
    module.draw = broken  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "broken_figure", module)
    monkeypatch.setattr(Mixing, "figures", {"mixing": "broken_figure"})
    faults: list[str] = []
    only = ["mixing", "learning-curve"]
    written = figures(Results(rows()), tmp_path, formats=["svg"], only=only, on_fault=faults.append)
    assert written
    assert faults == ["mixing, of observable 'mixing', raised KeyError: 'colour'"]
    with pytest.raises(KeyError, match="colour"):
        figures(Results(rows()), tmp_path, formats=["svg"], only=only)


def test_metrics_that_nobody_declares_are_named() -> None:
    made = with_metric(rows(), "gone_ev", "md", lambda arm, draw, seed: 1.0, "eV")
    made = with_metric(made, "cc2_energy_mae_mev_per_atom", "in_coverage", lambda arm, draw, seed: 1.0, "meV/atom")
    assert Results(made).unknown_metrics == ["gone_ev"]
