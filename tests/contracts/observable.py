"""Promises of every observable; inherit `ObservableContract` and give it a case.

class TestMyObservable(ObservableContract):
    name = "my_observable"
    plans = (MyPlan(), MyPlan(steps=9))

    @pytest.fixture
    def case(self):
        return Case(potential, task, split)
"""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from io import StringIO
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError

from mfbench.benchmarks.harness.details import read_detail
from mfbench.benchmarks.harness.keys import digest
from mfbench.benchmarks.harness.store import RunStore
from mfbench.benchmarks.observables.base import Observable, Plan
from mfbench.benchmarks.observables.checks import checked
from mfbench.benchmarks.observables.declarations import ERRORS, RETENTION
from mfbench.benchmarks.observables.evaluation import Evaluation
from mfbench.benchmarks.observables.registry import declaring, observable_of
from mfbench.benchmarks.reports.details import Details
from mfbench.benchmarks.reports.figures import figures, kinds
from mfbench.benchmarks.reports.html.page import page
from mfbench.benchmarks.reports.results import Results
from mfbench.benchmarks.reports.tables import report
from mfbench.mfcore.errors import ConfigError
from mfbench.mfcore.provenance import frames_hash
from tests.harness.test_store import row
from tests.tasks.toy import ToyTask

KEY = "a" * 64
MEASURED: dict[type, Evaluation] = {}


@dataclass(frozen=True)
class Case:
    """A potential that an observable can be measured on, with the task and split."""

    potential: Any
    task: Any
    split: Any = None

    def frames(self) -> Iterator[Any]:
        yield from getattr(self.task, "frames", ())
        yield from (atoms for part in getattr(self.split, "tests", {}).values() for atoms in part)


class ObservableContract:
    """Contracts of plans, rows, details, identity and declarations.

    Attributes
    ----------
    plans
        One that the case is measured with, and another.
    unserved
        Tasks without the data for it are refused.
    rare
        Declared metrics that the case does not have.
    drawn
        Kinds of figures that the case has the data for; the others have to say what is missing.
    """

    name: ClassVar[str]
    plans: ClassVar[tuple[Plan, Plan] | tuple[Plan]]
    unserved: ClassVar[bool] = False
    rare: ClassVar[set[str]] = set()
    drawn: ClassVar[tuple[str, ...]] = ()

    @pytest.fixture
    def case(self) -> Case:
        raise NotImplementedError

    @pytest.fixture
    def observable(self) -> Observable[Any]:
        return observable_of(self.name)

    @pytest.fixture
    def found(self, observable, case, tmp_path) -> Evaluation:
        """The case measured once for all tests of a class."""
        if type(self) not in MEASURED:
            MEASURED[type(self)] = self.measure(observable, case, tmp_path / "found")
        return MEASURED[type(self)]

    def measure(self, observable: Observable[Any], case: Case, workdir: Path, seed: int = 3) -> Evaluation:
        workdir.mkdir(parents=True)
        return observable.measure(case.potential, case.task, case.split, self.plans[0], seed, workdir)

    def test_it_measures_what_it_declares(self, observable, found):
        assert checked(observable, found) is found

    # ---- plan and identity

    def test_it_says_what_it_is_in_one_line(self, observable):
        assert observable.name == self.name
        assert observable.summary
        assert "\n" not in observable.summary

    def test_its_plan_is_fixed_and_refuses_unknown_keys(self, observable):
        plan = self.plans[0]
        assert isinstance(plan, observable.plan_class)
        assert plan == observable.plan_class.model_validate(json.loads(plan.model_dump_json()))
        with pytest.raises(ValidationError, match="colour"):
            observable.plan_class.model_validate({"colour": 1})
        with pytest.raises(ValidationError, match="frozen"):
            setattr(plan, next(iter(type(plan).model_fields), "colour"), 1)

    def test_its_identity_changes_with_the_plan(self, observable, case):
        def identity(plan: Plan) -> str:
            return digest({"plan": plan.model_dump(mode="json"), **observable.identity(case.task, plan)})

        assert identity(self.plans[0]) == identity(self.plans[0])
        assert len({identity(plan) for plan in self.plans}) == len(self.plans)

    def test_a_task_that_cannot_serve_it_is_refused(self, observable):
        if not self.unserved:
            assert json.dumps(observable.identity(ToyTask(), self.plans[0]))
            return
        with pytest.raises(ConfigError):
            observable.identity(ToyTask(), self.plans[0])

    def test_the_key_has_the_code_of_its_measurement(self, observable):
        """Modules of its own package that its sources import are sources; reports and figures are not measured with."""
        home = type(observable).__module__
        package = home.rpartition(".")[0]
        known = {home, *observable.sources}
        for name in [home, *(source for source in observable.sources if source.startswith(package))]:
            for module in imported_at_the_top(name):
                assert not module.startswith(f"{package}.") or module in known, f"{name} imports {module}"
        assert all(find_spec(source) for source in observable.sources)

    # ---- rows and details

    def test_its_rows_are_of_the_metrics_that_it_declares(self, observable, found):
        seen = set()
        for line in found.rows:
            assert declaring(line["metric"]) is observable
            (metric,) = [m for m in observable.metrics if m.match(line["metric"])][:1]
            assert line["unit"] == metric.unit
            seen.add(metric.name)
        assert seen == {metric.name for metric in observable.metrics} - self.rare

    def test_each_row_is_a_number_over_something_and_stands_once(self, found):
        assert all(np.isfinite(line["value"]) and line["n"] > 0 and line["split"] for line in found.rows)
        assert len({(line["split"], line["metric"]) for line in found.rows}) == len(found.rows)

    def test_equal_seeds_give_equal_numbers(self, observable, case, found, tmp_path):
        again = self.measure(observable, case, tmp_path / "again")
        assert again.rows == found.rows
        assert repr(again.details) == repr(found.details)  # NaN is not equal to itself

    def test_it_changes_no_frame(self, observable, case, tmp_path):
        before = frames_hash(case.frames())
        self.measure(observable, case, tmp_path / "run")
        assert frames_hash(case.frames()) == before

    def test_its_details_are_stored_and_read_back(self, observable, found, tmp_path):
        assert set(found.details) == set(observable.details)
        store = stored(found, tmp_path / "runs")
        for name, columns in observable.details.items():
            table = read_detail(store.root, name)
            assert len(table) == len(found.details[name]) > 0
            for column in columns:
                for value, given in zip(table[column], found.details[name], strict=True):
                    assert np.array_equal(value, given[column], equal_nan=not isinstance(value, str))

    # ---- reports

    def test_its_table_and_its_metrics_are_reported(self, observable, found, tmp_path):
        store = stored(found, tmp_path / "runs")
        results = Results(store.rows(), Details(store.root))
        text = report(results, "text")
        for section in observable.sections:
            assert section.title in text
        shown = {ERRORS, RETENTION, *(section.family for section in observable.sections)}
        quantities = set(pd.read_csv(StringIO(report(results, "csv")))["quantity"])
        for line in found.rows:
            metric = next(m for m in observable.metrics if m.match(line["metric"]))
            assert (line["metric"] in quantities) == (metric.family in shown)
        written = page(results)
        for section in observable.sections:
            assert section.title.lower() in written.lower()

    def test_its_figures_are_drawn_or_say_what_is_missing(self, observable, found, tmp_path):
        store = stored(found, tmp_path / "runs")
        results = Results(store.rows(), Details(store.root))
        for kind in observable.figures:
            assert kind in kinds()
            assert callable(import_module(observable.figures[kind]).draw)
            if kind in self.drawn:
                assert figures(results, tmp_path / kind, formats=["svg"], only=[kind])
                continue
            with pytest.raises(ConfigError, match=f"{kind}: no run"):
                figures(results, tmp_path / kind, formats=["svg"], only=[kind])


def stored(found: Evaluation, root: Path) -> RunStore:
    """A folder with one run that has these scores."""
    store = RunStore(root)
    lines = [row(KEY, n_high=5, **line) for line in found.rows]
    store.save(KEY, "finished", {"cell": 1, "identity": {}}, lines, found.details)
    return store


def imported_at_the_top(name: str) -> set[str]:
    """Modules that a module imports when it is itself imported, but not those for types alone."""
    spec = find_spec(name)
    assert spec is not None
    assert spec.origin is not None
    body = ast.parse(Path(spec.origin).read_text(encoding="utf-8")).body
    return {node.module for node in body if isinstance(node, ast.ImportFrom) and node.module}
