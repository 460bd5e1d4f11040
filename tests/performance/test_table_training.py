"""Training through the radial table: the stored comparison, and what its verdict means."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mfbench.benchmarks.performance.parity.data import ParityData
from mfbench.benchmarks.performance.parity.settings import Training
from mfbench.benchmarks.performance.table_training import (
    DEFAULT_OUT,
    MODES,
    compare,
    results_file,
    settings_of,
    stored,
    summaries,
    verdict,
)
from mfbench.mfcore.errors import DataError

STORED = Path(__file__).resolve().parents[2] / DEFAULT_OUT


def runs_of(table: list[float], exact: list[float]) -> list[dict[str, Any]]:
    return [
        {
            "mode": mode,
            "seed": seed,
            "test": {"force_mae_mev_per_A": mae, "energy_mae_mev_per_atom": 0.1},
            "train_cpu_s": 1.0,
        }
        for mode, maes in (("table", table), ("exact", exact))
        for seed, mae in enumerate(maes)
    ]


@pytest.mark.parametrize(
    ("table", "exact", "passed"),
    [
        ([7.0, 8.0, 9.0], [7.0, 7.0, 7.5], True),  # +0.83 of 2
        ([7.0, 7.1, 7.2], [8.0, 8.1, 8.2], False),  # both better and worse count
        ([8.0, 8.1, 8.2], [7.0, 7.1, 7.2], False),
        ([7.0, 8.0], [7.0, 8.0], None),  # two seeds say nothing
        ([7.0, 8.0, 9.0], [7.0, 8.0], None),
        ([7.0, 8.0, 9.0], [], None),
    ],
)
def test_verdict(table: list[float], exact: list[float], passed: bool | None) -> None:
    assert verdict(runs_of(table, exact))[0] is passed


def test_the_stored_comparison_says_that_the_table_stands() -> None:
    runs = stored(results_file(STORED), settings_of(Training(), 0.005, None))
    passed, sentence = verdict(runs)
    assert passed is True, sentence
    assert {s.seeds for s in summaries(runs)} == {(0, 1, 2, 3, 4, 5)}


def test_both_ways_are_trained_once_and_alike(data: ParityData, tmp_path: Path) -> None:
    path, training = tmp_path / "t.json", Training(epochs=2, checks=1)
    out = results_file(path)
    runs = compare(data, training, 0.005, [4], out)
    assert [(r["mode"], r["seed"]) for r in runs] == [(mode, 4) for mode in MODES]
    first, second = (r["test"]["force_mae_mev_per_A"] for r in runs)
    assert first != second
    assert first == pytest.approx(second, rel=0.05)  # the same weights and order; the table differs by a little
    before = path.read_text(encoding="utf-8")
    assert compare(data, training, 0.005, [4], out) == runs
    assert path.read_text(encoding="utf-8") == before
    assert stored(out, settings_of(training, 0.005, None)) == runs
    assert stored(out, settings_of(training, 0.005, "other frames")) == []
    assert stored(out, settings_of(training, 0.01, data.sha256())) == []
    path.write_text("[]", encoding="utf-8")
    with pytest.raises(DataError, match=r"t\.json"):
        out.read()
