"""An observable as another package would bring it: the mean signed error of energies, with a table and a figure."""

from __future__ import annotations

import numpy as np
from pydantic import Field

from mfbench.benchmarks.observables.base import Observable, Plan
from mfbench.benchmarks.observables.declarations import Metric, Section
from mfbench.benchmarks.observables.evaluation import Evaluation, metric_row
from mfbench.mfcore.data.frames import energy_of
from mfbench.mfcore.errors import ConfigError


class BiasPlan(Plan):
    most: int = Field(100, ge=1, description="Test frames to score, at most.")


class FakeBias(Observable[BiasPlan]):
    name = "fake_bias"
    summary = "mean signed error of energies"
    plan_class = BiasPlan
    metrics = (Metric("bias_mev_per_atom", "bias", "mean signed error", "meV/atom", "nearer zero", "bias"),)
    details = {"biases": {"place": "int64", "error_mev_per_atom": "float64"}}  # noqa: RUF012
    sections = (Section("bias", "signed errors", "bias: mean of predicted less labelled energies."),)
    figures = {"bias": "mfbench_fakes_bias"}  # noqa: RUF012

    def identity(self, task, plan):
        if task.name == "leaky_task":
            raise ConfigError("this task leaks.")
        return {}

    def measure(self, potential, task, split, plan, seed, workdir):
        frames = [atoms for part in split.tests.values() for atoms in part][: plan.most]
        labels = np.array([energy_of(atoms, task.high) for atoms in frames])
        errors = 1e3 * (potential.predict(frames).energies - labels) / [len(atoms) for atoms in frames]
        lines = [{"place": place, "error_mev_per_atom": float(error)} for place, error in enumerate(errors)]
        return Evaluation(
            [metric_row("in_coverage", "bias_mev_per_atom", "meV/atom", errors.mean(), len(frames))], {"biases": lines}
        )

    def words(self, family, details):
        table = details("biases")
        return {
            "worst": {str(arm): f"{part['error_mev_per_atom'].abs().max():.0f}" for arm, part in table.groupby("arm")}
        }


def draw(source, style):
    from mfbench.benchmarks.reports.figures.base import Drawing

    for cell in source.cells():
        table = cell.detail("biases")
        figure = style.figure("single", 60.0)
        figure.subplots().plot(table["place"], table["error_mev_per_atom"], "o")
        yield Drawing(source.name("bias", cell.regime), figure, cell.rows)
