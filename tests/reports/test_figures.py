"""Figures: what is drawn, what the files carry, and when there is nothing to draw."""

import hashlib
import re
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from matplotlib import rc_context
from matplotlib.colors import to_rgb
from PIL import Image

from mfbench.benchmarks.reports.details import Details
from mfbench.benchmarks.reports.figures import PAPER, TALK, figures, kinds, learning_curve_figure, looks
from mfbench.benchmarks.reports.figures.base import Source
from mfbench.benchmarks.reports.results import Results
from mfbench.mfcore.errors import ConfigError
from tests.reports.synthetic import make_rows
from tests.reports.synthetic_details import make_details

ARMS = {"single_fidelity": 20.0, "multi_fidelity": 10.0, "another_arm": 12.0, "single_fidelity_all": 4.0}
ENERGY = "energy_mae_mev_per_atom"


def jitter(arm, draw, seed):
    return 1.0 + 0.02 * np.sin(3 * draw + len(arm) + seed)


@pytest.fixture(scope="module")
def rows():
    return make_rows(ARMS, draws=3, n_high=(25, 100, 400), spread=jitter)


def test_means_stand_at_their_values():
    figure = learning_curve_figure(Results(make_rows(ARMS, n_high=(25, 100, 400))).regimes[0], ENERGY)
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
    figure = learning_curve_figure(Results(rows).regimes[0], ENERGY)
    labels = [text.get_text().split("\n")[0] for text in figure.legends[0].get_texts()]
    assert sorted(labels) == sorted(ARMS)


def test_files_carry_their_origin_and_are_reproducible(rows, tmp_path):
    rows = rows[(rows["metric"] == ENERGY) & (rows["split"] == "in_coverage")]
    options = {"command": "mfbench figures runs", "only": ["learning-curve"]}
    paths = figures(Results(rows), tmp_path / "a", **options)
    assert len(paths) == 3
    assert sorted(p.name for p in (tmp_path / "a").iterdir()) == sorted(p.name for p in paths)
    digest = hashlib.sha256("\n".join(sorted(set(rows["run_key"]))).encode()).hexdigest()
    by_kind = {p.suffix: p for p in paths}
    with Image.open(by_kind[".png"]) as image:
        assert image.size[0] == pytest.approx(183 / 25.4 * 300, abs=2)
        assert digest in image.text["Description"]
        assert "mfbench figures runs" in image.text["Description"]
    assert digest in by_kind[".svg"].read_text()
    pdf = by_kind[".pdf"].read_bytes()
    assert b"/FontFile2" in pdf  # TrueType, embedded
    assert digest.encode() in pdf
    again = figures(Results(rows), tmp_path / "b", **options)
    assert [p.read_bytes() for p in again] == [p.read_bytes() for p in paths]


def test_files_say_which_data_the_runs_read(rows, tmp_path):
    class Known(Details):
        def data_hashes(self, rows):
            return {"a.xyz": "f" * 64}

    (path,) = figures(Results(rows, Known()), tmp_path, only=["heat-map"], formats=["svg"])
    assert f"data a.xyz sha256 {'f' * 64}" in path.read_text()


def test_regimes_get_files_of_their_own(tmp_path):
    first = make_rows({"a": 10.0}, n_high=(25, 100))
    second = make_rows({"a": 10.0}, n_high=(25, 100)).assign(labels="low=EF,high=EF")
    rows = pd.concat([first, second])
    rows = rows[(rows["metric"] == ENERGY) & (rows["split"] == "in_coverage")]
    drawn = figures(Results(rows), tmp_path, formats=["svg"], only=["learning-curve"])
    assert len(drawn) == 2
    assert "learning-curve-synthetic-low_EF_high_EF-energy.svg" in {p.name for p in drawn}


def test_what_has_no_data_is_left_out_with_a_reason(tmp_path):
    rows = make_rows({"single_fidelity": 20.0, "a": 10.0}, draws=2, n_high=(25, 100), spread=jitter)
    rows = rows[(rows["metric"] != "energy_detrended_mae_mev_per_atom") & (rows["split"] == "in_coverage")]
    reasons: list[str] = []
    names = {
        p.name.removesuffix(".svg") for p in figures(Results(rows), tmp_path, formats=["svg"], on_skip=reasons.append)
    }
    assert names == {
        *("learning-curve-synthetic-energy", "learning-curve-synthetic-force"),
        *("pareto-synthetic", "forces-energies-synthetic", "heat-map-synthetic", "forest-synthetic"),
    }
    left_out = ["training-compute", "parity", "survival", "arrhenius", "msd", "mixing", "hull"]
    assert [reason.split(":")[0] for reason in reasons] == left_out


def test_nothing_to_draw_and_unknown_names_are_errors(tmp_path):
    with pytest.raises(ConfigError, match="two sizes"):
        figures(Results(make_rows(ARMS)), tmp_path / "none", only=["learning-curve"])
    assert not (tmp_path / "none").exists()
    for options, message in (
        ({"formats": ["gif"]}, "figure format 'gif'"),
        ({"style": "poster"}, "figure style 'poster'"),
        ({"only": ["pie"]}, "figure 'pie'"),
    ):
        with pytest.raises(ConfigError, match=message):
            figures(Results(make_rows(ARMS, n_high=(25, 100))), tmp_path, **options)


def test_arms_are_told_apart_by_colour_or_marker():
    found = looks([*ARMS, "one", "two", "transfer", "transfer_frozen", "delta_labels", "delta_model", "low_fidelity"])
    assert len({(look.colour, look.marker) for look in found.values()}) == len(found)
    colours = {look.colour for look in found.values()}
    # Okabe and Ito's, black and grey: in grey print, too, neighbours differ or the markers do.
    assert colours <= {
        "#000000",
        "#808080",
        "#D55E00",
        "#E69F00",
        "#0072B2",
        "#56B4E9",
        "#009E73",
        "#CC79A7",
        "#F0E442",
    }
    assert all(len(to_rgb(colour)) == 3 for colour in colours)


@pytest.fixture(scope="module")
def everything():
    rows = make_rows(
        {"single_fidelity": 20.0, "transfer_replay": 10.0, "single_fidelity_all": 4.0}, draws=2, n_high=(25, 100)
    )
    return Source(Results(rows, Details(tables=make_details(rows))))


@pytest.fixture(scope="module")
def budgets():
    parts = []
    for budget, factor in (("100000", 2.0), ("400000", 1.2), ("1.6e+06", 1.0)):
        errors = {"single_fidelity": 20.0, "transfer_replay": 10.0, "single_fidelity_all": 4.0}
        rows = make_rows({arm: factor * error for arm, error in errors.items()}, draws=2, n_high=(25, 100))
        parts.append(rows.assign(budget=budget, run_key=rows["run_key"] + budget))
    return Source(Results(pd.concat(parts, ignore_index=True)))


@pytest.mark.parametrize("style", [PAPER, TALK], ids=lambda style: style.name)
def test_nothing_is_clipped_or_overlaps(everything, budgets, style):
    """Every text lies within its figure, and no two tick labels of an axis or legend entries overlap."""
    from importlib import import_module

    with rc_context(style.rc()):
        for kind, module in kinds().items():
            source = budgets if kind == "training-compute" else everything
            drawing = next(import_module(module).draw(source, style))
            figure = drawing.figure
            figure.draw_without_rendering()
            page = figure.bbox
            for text in [*figure.texts, *(t for a in figure.axes for t in (a.title, a.xaxis.label, a.yaxis.label))]:
                if text.get_text() and text.get_visible():
                    box = text.get_window_extent()
                    inside = (
                        page.x0 - 1 <= box.x0 <= box.x1 <= page.x1 + 1
                        and page.y0 - 1 <= box.y0 <= box.y1 <= page.y1 + 1
                    )
                    assert inside, (kind, text.get_text())
                    assert text.get_fontsize() >= 6.0
            for axes in figure.axes:
                for axis in (axes.xaxis, axes.yaxis):
                    labels = [t.get_window_extent() for t in axis.get_ticklabels() if t.get_text() and t.get_visible()]
                    ends = pairwise(labels)
                    shown = [(a, b) for a, b in ends if page.overlaps(a) and page.overlaps(b)]
                    assert not any(a.overlaps(b) for a, b in shown), (kind, axis.axis_name)
            for legend in figure.legends:
                box = legend.get_window_extent()
                assert all(not box.overlaps(axes.get_window_extent()) for axes in figure.axes), kind


def test_talk_is_larger(rows, tmp_path):
    options = {"only": ["forest"], "formats": ["svg"]}
    (paper,) = figures(Results(rows), tmp_path / "a", **options)
    (talk,) = figures(Results(rows), tmp_path / "b", style="talk", **options)
    widths = [float(re.search(r'width="([\d.]+)pt"', p.read_text())[1]) for p in (paper, talk)]
    assert widths == pytest.approx([183 / 25.4 * 72, 12.8 * 72], rel=1e-3)
