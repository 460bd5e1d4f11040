"""Learning-curve figures: what is drawn, what the files carry, and when there is nothing to draw."""

import hashlib

import numpy as np
import pytest
from PIL import Image

from benchmarks.reports.figures import METRICS, figures, learning_curve_figure
from mfcore.errors import ConfigError
from tests.reports.synthetic import make_rows

ARMS = {"single_fidelity": 20.0, "multi_fidelity": 10.0, "another_arm": 12.0, "single_fidelity_all": 4.0}


def jitter(arm, draw, seed):
    return 1.0 + 0.02 * np.sin(3 * draw + len(arm) + seed)


@pytest.fixture(scope="module")
def rows():
    return make_rows(ARMS, draws=3, n_high=(25, 100, 400), spread=jitter)


def test_means_stand_at_their_values(rows):
    figure = learning_curve_figure(make_rows(ARMS, n_high=(25, 100, 400)), *_energy())
    axes = figure.axes[0]
    drawn = {tuple(np.round(line.get_ydata(), 6)) for line in axes.lines if len(line.get_ydata()) == 3}
    assert drawn == {(40.0, 20.0, 10.0), (20.0, 10.0, 5.0), (24.0, 12.0, 6.0)}
    assert any(np.allclose(line.get_ydata(), 4.0) for line in axes.lines)  # the ceiling
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")
    assert axes.get_ylabel().endswith("(meV/atom)")
    bottom, top = axes.get_ylim()
    assert bottom < 4.0
    assert top > 80.0  # the panels share the axis, and out of coverage errors are twice as large


def test_every_arm_is_in_the_legend(rows):
    figure = learning_curve_figure(rows, *_energy())
    labels = [text.get_text().split("\n")[0] for text in figure.legends[0].get_texts()]
    assert sorted(labels) == sorted(ARMS)


def test_files_carry_their_origin_and_are_reproducible(rows, tmp_path):
    rows = rows[rows["metric"] == "energy_mae_mev_per_atom"]
    paths = figures(rows, tmp_path / "a", command="mfbench figures runs")
    assert len(paths) == 3
    assert sorted(p.name for p in (tmp_path / "a").iterdir()) == sorted(p.name for p in paths)
    keys = sorted(set(rows["run_key"]))
    digest = hashlib.sha256("\n".join(keys).encode()).hexdigest()
    by_kind = {p.suffix: p for p in paths}
    with Image.open(by_kind[".png"]) as image:
        assert image.size[0] == pytest.approx(7.2 * 300, abs=2)
        assert digest in image.text["Description"]
        assert "mfbench figures runs" in image.text["Description"]
    assert digest in by_kind[".svg"].read_text()
    pdf = by_kind[".pdf"].read_bytes()
    assert b"/FontFile2" in pdf  # TrueType, embedded
    assert digest.encode() in pdf
    again = figures(rows, tmp_path / "b", command="mfbench figures runs")
    assert [p.read_bytes() for p in again] == [p.read_bytes() for p in paths]


def test_regimes_get_files_of_their_own(tmp_path):
    import pandas as pd

    first = make_rows({"a": 10.0}, n_high=(25, 100))
    second = make_rows({"a": 10.0}, n_high=(25, 100)).assign(labels="low=EF,high=EF")
    names = {p.name for p in figures(pd.concat([first, second]), tmp_path, formats=["svg"])}
    assert len(names) == 2 * len(METRICS)
    assert "learning-curve-synthetic-low_EF_high_EF-energy.svg" in names


def test_one_set_size_is_no_curve(tmp_path):
    with pytest.raises(ConfigError, match="two sizes"):
        figures(make_rows(ARMS), tmp_path / "none")
    assert not (tmp_path / "none").exists()
    with pytest.raises(ConfigError, match="'gif'"):
        figures(make_rows(ARMS, n_high=(25, 100)), tmp_path, formats=["gif"])


def _energy():
    return "energy_mae_mev_per_atom", METRICS["energy_mae_mev_per_atom"][1]
