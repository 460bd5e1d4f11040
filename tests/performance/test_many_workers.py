"""The study of many workers: times as stored ones are, and a figure."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from mfbench.benchmarks.performance.many_workers import CONTENT, draw, sleep, times_of


def test_times_are_drawn_from_stored_ones_and_scaled(tmp_path: Path) -> None:
    rows = pd.DataFrame({"run_key": ["a", "a", "b", "c"], "train_wall_s": [10.0, 10.0, 30.0, None]})
    rows.to_csv(tmp_path / "rows.csv.gz", index=False)
    times = times_of(tmp_path / "rows.csv.gz", 1000, 0.1)
    assert times.mean() == pytest.approx(0.1)
    assert times.max() / times.min() == pytest.approx(3.0)
    assert len(set(times)) == 2


def test_a_run_tells_and_sends_something_back() -> None:
    told: list[float] = []
    assert len(sleep(0.0, told.append)) == CONTENT
    assert told == [0.5]


def test_the_figure(tmp_path: Path) -> None:
    results = [{"mean_s": 0.1, "workers": n, "runs_per_s": 9.0 * n, "runs": 90, "least_s": 9.0 / n} for n in (2, 4)]
    draw(results, tmp_path / "figure.png")
    assert (tmp_path / "figure.png").stat().st_size > 1000
