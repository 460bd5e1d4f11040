"""The interface of an observable: a property that a fitted potential is measured on, and how reports show it.

An observable is one class, registered in the entry-point group `mfbench.observables` under its name. It brings its
plan (the part of a preset that configures it), its measurement, and declarations of its metrics, detail tables, report
tables and figures; harness and reports take all of these from the registry and know no observable by name.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

from mfbench.benchmarks.observables.declarations import Metric, Section
from mfbench.benchmarks.observables.evaluation import Evaluation
from mfbench.mfcore.settings_model import SettingsModel

if TYPE_CHECKING:
    from pandas import DataFrame

    from mfbench.benchmarks.tasks.base import Split, Task
    from mfbench.mfcore.metrics.intervals import Interval
    from mfbench.mfcore.potentials.potential import Potential

DetailTables = Callable[[str], "DataFrame"]
"""Gives a detail table, by its name, of the runs that a report table is about; empty where no run has it."""

Words = dict[str, dict[str, str]]
"""Columns of words: by their title, and then by arm."""


class Plan(SettingsModel):
    """Base of the plans of observables: immutable, and unknown keys are errors. Alone, a plan without any key."""


P = TypeVar("P", bound=Plan)


class Observable(ABC, Generic[P]):
    """A property that fitted potentials are measured on.

    Attributes
    ----------
    name
        In presets and in the entry-point group.
    summary
        One line for `mfbench list`.
    plan_class
        Its pydantic model validates the observable's part of a preset; every key has a default or must be given.
    always
        Measured in every run, with the default plan.
    rank
        Place among the observables, in the measurement and in reports: lower ones first, equal ones by name.
    metrics
        Metrics of its rows, in the order of tables.
    details
        Columns of its detail tables and their types (numpy's names, "str", "bool", and "object" for lists of numbers),
        by the name of the table. Units are in the names of columns.
    sections
        Its tables in reports.
    figures
        Its kinds of figures: by name, the module whose `draw(source, style)` yields the drawings
        (:mod:`mfbench.benchmarks.reports.figures.base`).
    sources
        Modules or packages, beside the file of the class, whose code its numbers come from; those of `mfcore` are in
        every run key already, and are named for the baselines of the regression suite.
    interval_note
        Sentence under a table with intervals of :meth:`interval`.
    benchmark
        Public set that it measures on (:mod:`mfbench.benchmarks.sets`) whatever the task is, so that `mfbench measure`
        can ask it about any potential; "": the task's frames.
    former_keys
        Keys of presets that were once given beside `observables` for it: an error says the present form.
    """

    name: ClassVar[str]
    summary: ClassVar[str]
    plan_class: type[P]
    always: ClassVar[bool] = False
    rank: ClassVar[int] = 100
    metrics: ClassVar[tuple[Metric, ...]] = ()
    details: ClassVar[Mapping[str, Mapping[str, str]]] = {}
    sections: ClassVar[tuple[Section, ...]] = ()
    figures: ClassVar[Mapping[str, str]] = {}
    sources: ClassVar[tuple[str, ...]] = ()
    interval_note: ClassVar[str] = ""
    benchmark: ClassVar[str] = ""
    former_keys: ClassVar[tuple[str, ...]] = ()

    def identity(self, task: Task, plan: P) -> dict[str, Any]:
        """Check that a task can serve a plan; cheap, it is asked before anything is trained.

        Returns
        -------
        dict
            JSON values that decide the numbers beside the plan, the code and the task's data: they enter the run key.

        Raises
        ------
        ConfigError
            If the task cannot serve the plan.
        """
        return {}

    @abstractmethod
    def measure(self, potential: Potential, task: Task, split: Split, plan: P, seed: int, workdir: Path) -> Evaluation:
        """Measure a potential; nothing is trained.

        Parameters
        ----------
        potential
            May need calculations of a lower fidelity for each prediction (`requires_low_labels`); an observable that
            cannot do with that gives no row.
        seed
            Of all random numbers: equal seeds give equal numbers.
        workdir
            Folder of the run, to keep parts in from which a measurement that was cut off goes on.

        Returns
        -------
        Evaluation
            Rows of the declared metrics, and the declared details.
        """

    def on_benchmark(self, potential: Potential, plan: P, fidelity: str) -> Evaluation:
        """Measure a potential on the set of `benchmark`, as one of its fidelities; without a set there is none."""
        raise NotImplementedError(f"observable '{self.name}' measures on the frames of a task")

    def words(self, family: str, details: DetailTables) -> Words:
        """Give columns of words to the report table of a family."""
        return {}

    def reference(self, details: DetailTables) -> Mapping[str, float]:
        """Give metrics of the HF labels themselves, by name, where details have what they follow from."""
        return {}

    def interval(self, metric: str, arm: str, details: DetailTables, plain: Interval) -> tuple[Interval, int] | None:
        """Give an arm's interval of a metric where details say more than the runs.

        Parameters
        ----------
        plain
            Mean over runs with its interval.

        Returns
        -------
        tuple or None
            The interval and the number of groups that it is over; None where the plain one stays.
        """
        return None
