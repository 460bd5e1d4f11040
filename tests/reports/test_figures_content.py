"""Content of figures: fronts, ratios, fits and curves with known answers."""

import math

import numpy as np
import pandas as pd
import pytest
from matplotlib import rc_context

from mfbench.benchmarks.harness.columns import RUN_COLUMNS
from mfbench.benchmarks.observables.mixing import figure as mixing
from mfbench.benchmarks.observables.stability import figure as survival
from mfbench.benchmarks.observables.transport import arrhenius_figure as arrhenius
from mfbench.benchmarks.observables.transport import msd_figure as msd
from mfbench.benchmarks.reports.blocks import Blocks
from mfbench.benchmarks.reports.details import Details
from mfbench.benchmarks.reports.figures import (
    PAPER,
    TALK,
    forces_energies,
    forest,
    heat_map,
    learning_curves,
    pareto,
    parity,
)
from mfbench.benchmarks.reports.figures.base import NothingToDraw, Source
from mfbench.benchmarks.reports.figures.style import log_axis, looks, plain
from mfbench.benchmarks.reports.results import Part, Results
from mfbench.benchmarks.reports.summary import HF_REFERENCE
from mfbench.mfcore.metrics.comparison import compare_arms
from mfbench.strategies.registry import arm_names
from tests.reports.synthetic import make_rows, with_metric
from tests.reports.synthetic_details import ACTIVATION_EV, GROUPS, LIMIT_PS, make_details

ARMS = {"single_fidelity": 20.0, "multi_fidelity": 10.0, "transfer": 19.9}


def jitter(arm, draw, seed):
    return 1.0 + 0.02 * np.sin(3 * draw + len(arm) + seed)


def one(module, rows, *details, seed=0):
    """The first figure of a kind."""
    source = Source(Results(rows, Details(tables=make_details(rows, *details, seed=seed) if details else {})))
    return next(module.draw(source, PAPER))


def test_pareto_draws_a_panel_for_each_cost_that_is_known():
    rows = make_rows(ARMS, draws=3, n_high=(25, 100), spread=jitter)
    costs = {"labels (CPU-s)", "training (CPU-s)", "inference (µs/atom)"}
    assert {axes.get_xlabel() for axes in one(pareto, rows).figure.axes} == costs
    free = rows.assign(label_cost_cpu_s=math.nan)
    assert {axes.get_xlabel() for axes in one(pareto, free).figure.axes} == costs - {"labels (CPU-s)"}
    nothing = dict.fromkeys(("label_cost_cpu_s", "train_cpu_s", "inference_us_per_atom"), math.nan)
    with pytest.raises(NothingToDraw, match="known cost"):
        one(pareto, rows.assign(**nothing))


def with_all(rows, most):
    """The rows, with the largest HF set called "all"."""
    return rows.assign(n_high=rows["n_high"].replace(str(most), "all"))


def test_all_frames_stand_beyond_the_sizes_that_are_numbers():
    rows = make_rows(ARMS | {"single_fidelity_all": 4.0}, draws=3, n_high=(10, 30, 90), spread=jitter)
    source = Source(Results(with_all(rows, 90), Details(tables={})))
    drawings = list(learning_curves.draw(source, PAPER))
    for axes in drawings[0].figure.axes:
        assert [label.get_text() for label in axes.get_xticklabels()] == ["10", "30", "all"]
        assert axes.get_xticks()[2] == pytest.approx(30.0 * math.sqrt(3.0))
        markers = [line for line in axes.lines if line.get_marker() not in ("None", ".", "")]
        assert [len(line.get_xdata()) for line in markers] == [3] * len(ARMS)
        fits = [line for line in axes.lines if line.get_marker() == "None" and len(set(line.get_xdata())) == 2]
        ends = [max(line.get_xdata()) for line in fits if min(line.get_xdata()) < 15]
        assert ends
        assert max(ends) < 40  # no fit goes on to a size that is not known


@pytest.mark.parametrize(
    ("sizes", "places"),
    [
        (["all"], {"all": 2.0}),
        (["50", "all"], {"50": 50.0, "all": 100.0}),
        (["all", "1000000", "40", "10"], {"10": 10.0, "40": 40.0, "1000000": 1e6, "all": 1e6 * math.sqrt(25000)}),
    ],
)
def test_places_of_set_sizes(sizes, places):
    rows = pd.DataFrame({"arm": ["transfer"] * len(sizes) + ["single_fidelity_all"], "n_high": [*sizes, "all"]})
    found = Part(rows, Details()).places
    assert list(found) == list(places)
    assert found == pytest.approx(places)
    assert "all" not in Part(rows[rows["n_high"] != "all"], Details()).places


def test_the_front_has_points_for_all_frames():
    rows = make_rows(ARMS, draws=3, n_high=(10, 30, 90), spread=jitter)
    legend = one(pareto, with_all(rows, 90)).figure.legends[0]
    assert [t.get_text() for t in legend.get_texts() if "high" in t.get_text()] == [
        f"$n_\\mathrm{{high}}$ = {n}" for n in ("10", "30", "all")
    ]


def test_the_heat_map_has_ratios_to_single_fidelity_and_marks_the_best():
    rows = make_rows(ARMS | {"single_fidelity_all": 4.0}, draws=3, n_high=(25, 100), spread=jitter)
    axes = one(heat_map, rows).figure.axes[0]
    arms = [label.get_text() for label in axes.get_yticklabels()]
    assert arms == ["single_fidelity", "multi_fidelity", "transfer", "single_fidelity_all"]
    texts = {(round(t.get_position()[1]), round(t.get_position()[0])): t.get_text() for t in axes.texts}
    assert texts[1, 0] == "0.50∗"
    assert texts[0, 0] == "1.00"
    assert texts[3, 0] == "0.10"  # the ceiling is not ranked; at 25 labels the others have twice the error
    assert texts[3, 1] == "0.20"


def test_the_heat_map_takes_the_best_arm_where_there_is_no_single_fidelity():
    rows = make_rows({"a": 10.0, "bb": 40.0}, draws=2, spread=jitter)
    figure = one(heat_map, rows).figure
    assert {t.get_text()[:3] for t in figure.axes[0].texts} >= {"1.0", "3.9"}  # 4 times 0.98: the jitter
    assert "ratio to the best arm" in figure.axes[1].get_ylabel()


def test_ratios_are_paired_and_corrected():
    errors = {
        "single_fidelity": {(d, 0): 10.0 * (1 + d) for d in range(3)},
        "half": {(d, 0): 5.0 * (1 + d) * (1 + 0.01 * (-1) ** d) for d in range(3)},
        "same": {(d, 0): 10.0 * (1 + d) * (1 + 0.01 * (-1) ** (d + 1)) for d in range(3)},
    }
    found = forest.ratios(errors, "single_fidelity")
    assert found["half"].interval.estimate == pytest.approx(0.5, rel=0.01)
    assert found["half"].interval.high < 0.6  # though the errors of the draws differ threefold
    assert found["half"].significant
    assert not found["same"].significant
    comparison = compare_arms(errors)
    p = {arm: comparison.p_different(arm, "single_fidelity") for arm in ("half", "same")}
    assert found["half"].p_holm == pytest.approx(2 * p["half"])  # the smaller of two
    assert found["same"].p_holm == pytest.approx(p["same"])
    assert forest.ratios({"single_fidelity": {(0, 0): 1.0}, "a": {(0, 0): 1.0}}, "single_fidelity") == {}


def test_ratios_are_over_groups_where_errors_are_stored_by_group():
    rows = make_rows(ARMS, draws=3, spread=jitter)
    table = make_details(rows, "blocks")["blocks"]
    skewed = table.copy()
    # One group where the arm is no better than the reference: the mean ratio is less sure.
    bad = (skewed["arm"] == "multi_fidelity") & (skewed["group"] == "d")
    skewed.loc[bad, "value"] *= 2.0
    errors = {arm: {(d, 0): 2 * 10 * e * jitter(arm, d, 0) for d in range(3)} for arm, e in ARMS.items()}
    where = ("out_of_coverage", "force_mae_mev_per_A")
    plain_ratio = forest.ratios(errors, "single_fidelity")["multi_fidelity"]
    even = forest.ratios(errors, "single_fidelity", Blocks(table), *where)["multi_fidelity"]
    uneven = forest.ratios(errors, "single_fidelity", Blocks(skewed), *where)["multi_fidelity"]
    assert (plain_ratio.n_groups, even.n_groups, uneven.n_groups) == (0, len(GROUPS), len(GROUPS))
    assert even.interval.estimate == pytest.approx(plain_ratio.interval.estimate, rel=1e-3)
    assert uneven.interval.half_width > 3 * even.interval.half_width
    for ratio in (even, uneven):
        assert not ratio.significant or 1.0 not in ratio.interval
    assert even.significant
    figure = one(forest, rows, "blocks").figure
    assert any("groups of test frames" in text.get_text() for text in figure.texts)


def test_the_p_value_belongs_to_the_interval():
    assert forest._p_of(lambda level: level > 0.97) == pytest.approx(0.03, abs=1e-3)
    assert forest._p_of(lambda level: True) == 1.0
    assert forest._p_of(lambda level: False) < 1e-3


def test_arrhenius_finds_the_activation_energy():
    table = make_details(make_rows({"a": 10.0}, draws=3), "transport")["transport"]
    line = arrhenius.fit(table[table["survived"]])
    assert line.activation_ev.estimate == pytest.approx(ACTIVATION_EV, abs=0.01)
    assert line.activation_ev.low < ACTIVATION_EV < line.activation_ev.high
    middle, low, high = line.at(1000.0 / 500.0)
    assert middle == pytest.approx(0.01 * math.exp(-ACTIVATION_EV / (8.617333262e-5 * 500.0)), rel=0.05)
    assert low < middle < high


def test_arrhenius_says_how_many_replicas_survived():
    figure = one(arrhenius, make_rows({"a": 10.0}, draws=2), "transport").figure
    (entry,) = [text.get_text() for text in figure.legends[0].get_texts()]
    assert entry.startswith("a: 30/32 survived")


def test_energies_are_relative_to_their_group():
    """Two molecules of very different energies: the errors stay, the difference goes."""
    table = pd.DataFrame(
        {
            "group": ["x", "x", "y", "y"],
            "structure_id": ["1", "2", "3", "4"],
            "n_atoms": [2, 2, 4, 4],
            "energy_ref_ev": [-100.0, -102.0, -1000.0, -1004.0],
            "energy_pred_ev": [-99.0, -102.0, -1000.0, -1002.0],
        }
    )
    reference, predicted = parity.energies(table)
    assert reference.tolist() == [500.0, -500.0, 500.0, -500.0]
    assert (predicted - reference).tolist() == [500.0, 0.0, 0.0, 500.0]


def test_parity_writes_the_mean_absolute_error():
    rows = make_rows({"a": 10.0, "b": 30.0}, draws=2)
    drawings = list(parity.draw(Source(Results(rows, Details(tables=make_details(rows, "predictions")))), PAPER))
    assert [d.name.split("-", 2)[2] for d in drawings] == [
        f"{fidelity}-{what}-n_high_100" for fidelity in ("high", "low") for what in ("energy", "force")
    ]
    force = drawings[1].figure
    (words,) = [text.get_text() for text in force.axes[1].texts]
    scores = [float(line.split()[-1]) for line in words.splitlines()[1:3]]
    # Gaussian errors of 0.1 eV/Å times 3 in and times 6 out of coverage.
    assert scores == pytest.approx([1000 * 0.3 * math.sqrt(2 / math.pi), 1000 * 0.6 * math.sqrt(2 / math.pi)], rel=0.05)


def test_survival_curves_step_where_replicas_fail():
    rows = make_rows({"a": 10.0})
    table = make_details(rows, "survival")["survival"]
    figure = one(survival, rows, "survival").figure
    assert [axes.get_title() for axes in figure.axes] == ["300 K", "600 K"]
    cold = table[(table["temperature_k"] == 300.0) & (table["status"] != "error")]
    (line,) = figure.axes[0].lines
    steps = dict(zip(*line.get_data(), strict=True))
    assert steps[0.0] == 1.0
    survivors = int((cold["status"] == "survived").sum())
    assert line.get_ydata()[-1] == pytest.approx(survivors / len(cold))  # nothing is censored before the limit
    first = cold.loc[cold["status"] == "failure", "time_ps"].min()
    assert steps[first] == pytest.approx(1.0 - 1.0 / len(cold))
    assert figure.axes[0].get_xlim() == (0.0, LIMIT_PS)
    assert "(2 errors left out)" in figure.legends[0].get_texts()[0].get_text()


def test_where_ions_do_not_move_nothing_is_fitted_and_the_table_s_energy_is_named():
    rows = make_rows({"a": 10.0}, draws=2)
    rows = with_metric(rows, "transport_survival_fraction_400K", "md", lambda a, d, s: 1.0)
    for kelvin in (500, 600, 800):
        rows = with_metric(rows, f"li_diffusivity_cm2_per_s_{kelvin}K", "md", lambda a, d, s: 1e-5)
    rows = with_metric(rows, "li_activation_energy_ev", "md", lambda a, d, s: 0.3 + 0.001 * d)
    figure = one(arrhenius, rows, "transport").figure
    top = figure.axes[0].child_axes[0]
    assert [label.get_text() for label in top.get_xticklabels()] == ["500", "600", "800"]
    (entry,) = [text.get_text() for text in figure.legends[0].get_texts()]
    assert "= 0.3005 ± 0.0064 eV" in entry  # half of the range times Student's t, 12.7


def test_displacements_stand_in_a_panel_for_each_species_and_temperature():
    rows = make_rows({"a": 10.0}, draws=2)
    figure = one(msd, rows, "msd").figure
    assert [axes.get_title() for axes in figure.axes] == ["400 K", "600 K", "800 K", "", "", ""]
    assert [axes.get_ylabel() for axes in figure.axes[::3]] == ["MSD(Li) (Å²)", "MSD(S) (Å²)"]  # what moves is on top
    for axes in figure.axes:
        guide = next(line for line in axes.lines if len(line.get_xdata()) == 2)
        x, y = guide.get_data()
        assert np.log(y[1] / y[0]) == pytest.approx(np.log(x[1] / x[0]))
    lithium = next(line for line in figure.axes[2].lines if len(line.get_xdata()) == 20)
    lag, square = lithium.get_data()
    assert square == pytest.approx(0.2 + 600.0 * math.exp(-ACTIVATION_EV / (8.617333262e-5 * 800.0)) * lag)
    with pytest.raises(NothingToDraw, match="mean-squared"):
        one(msd, rows)


def test_mixing_draws_reference_and_arms():
    rows = make_rows({"a": 10.0, "single_fidelity_all": 4.0}, draws=2, n_high=(25, 100))
    rows = with_metric(rows, "mixing_energy_mae_mev_per_atom", "mixing", lambda a, d, s: 3.0 + 0.1 * d, "meV/atom")
    rows = with_metric(rows, "mixing_energy_r2", "mixing", lambda a, d, s: 0.9)
    source = Source(Results(rows, Details(tables=make_details(rows, "mixing"))))
    drawings = list(mixing.draw(source, PAPER))
    assert [drawing.name for drawing in drawings] == ["mixing-synthetic-n_high_25", "mixing-synthetic-n_high_100"]
    curves, parity_axes = drawings[0].figure.axes
    reference = next(line for line in curves.lines if line.get_color() == "black" and len(line.get_xdata()) == 9)
    x, y = reference.get_data()
    inside = (x > 0) & (x < 1)
    assert y == pytest.approx(300.0 * x * (1 - x) + 2.0 * inside)  # the mean of two orderings
    clouds = [line for line in parity_axes.lines if len(line.get_xdata()) == 14]  # without the end members
    assert len(clouds) == 2
    words = [text.get_text() for text in drawings[0].figure.legends[0].get_texts()]
    assert words[1] == "a\n3.05 ± 0.64; 0.9"


def test_orderings_that_did_not_relax_are_counted_and_not_drawn():
    rows = make_rows({"a": 10.0})
    table = make_details(rows, "mixing")["mixing"]
    table.loc[table["structure_id"].isin(["x3-0", "x4-1"]), "energy_pred_mev_per_atom"] = math.nan
    source = Source(Results(rows, Details(tables={"mixing": table})))
    figure = next(mixing.draw(source, PAPER)).figure
    assert [text.get_text() for text in figure.legends[0].get_texts()][1] == "a (2 of 18 lost)"
    assert [len(line.get_xdata()) for line in figure.axes[1].lines if len(line.get_xdata()) > 2] == [12]
    assert all(np.isfinite(line.get_ydata()).all() for line in figure.axes[0].lines)


def test_an_arm_far_off_leaves_the_others_their_room():
    rows = make_rows({"a": 10.0, "b": 20.0})
    table = make_details(rows, "mixing")["mixing"]
    wild = (table["arm"] == "b") & (table["structure_id"] == "x4-0")
    table.loc[wild, "energy_pred_mev_per_atom"] = 1e5
    source = Source(Results(rows, Details(tables={"mixing": table})))
    curves, parity_axes = next(mixing.draw(source, PAPER)).figure.axes
    assert curves.get_ylim() == parity_axes.get_xlim() == parity_axes.get_ylim()
    assert 79.0 < curves.get_ylim()[1] < 200.0  # the reference goes up to 79 meV/atom
    assert [text.get_text() for text in parity_axes.texts] == ["1 of 28 beyond the frame"]


@pytest.mark.parametrize(("module", "detail"), [(mixing, "mixing"), (arrhenius, "transport"), (msd, "msd")])
def test_all_arms_have_room_in_the_legend(module, detail):
    rows = make_rows(dict.fromkeys(arm_names(), 10.0), draws=2)
    rows = with_metric(rows, "mixing_energy_mae_mev_per_atom", "mixing", lambda a, d, s: 3.0 + 0.1 * d, "meV/atom")
    rows = with_metric(rows, "mixing_energy_r2", "mixing", lambda a, d, s: 0.9)
    for style in (PAPER, TALK):
        with rc_context(style.rc()):
            source = Source(Results(rows, Details(tables=make_details(rows, detail))))
            figure = next(module.draw(source, style)).figure
            figure.draw_without_rendering()
            box = figure.legends[0].get_window_extent()
            assert figure.bbox.y0 <= box.y0 < box.y1 <= figure.bbox.y1


def test_details_of_other_runs_are_left_out():
    rows = make_rows({"a": 10.0}, draws=2)
    table = make_details(make_rows({"a": 10.0, "b": 20.0}, draws=2), "mixing")["mixing"]
    drawing = next(mixing.draw(Source(Results(rows, Details(tables={"mixing": table}))), PAPER))
    names = [text.get_text() for text in drawing.figure.legends[0].get_texts()]
    assert names == [HF_REFERENCE, "a"]
    assert set(drawing.rows["run_key"]) == set(rows["run_key"])
    assert list(Details().table("mixing").columns[: len(RUN_COLUMNS)]) == list(RUN_COLUMNS)


@pytest.mark.parametrize(
    ("low", "high", "most"), [(0.5, 400.0, 9), (12.0, 26.0, 6), (30.0, 150.0, 4), (1e-9, 1e9, 5), (3.0, 3.3, 9)]
)
def test_logarithmic_axes_have_some_ticks_but_not_too_many(low, high, most):
    from matplotlib.figure import Figure

    axes = Figure().subplots()
    axes.set_yscale("log")
    axes.set_ylim(low, high)
    log_axis(axes.yaxis, low, high, most)
    ticks = [tick for tick in axes.yaxis.get_majorticklocs() if low <= tick <= high]
    assert 2 <= len(ticks) <= most
    small = [tick for tick in axes.yaxis.get_minorticklocs() if low <= tick <= high]
    assert not small or len(small) + len(ticks) <= 2 * most
    assert not set(small) & set(ticks)


@pytest.mark.parametrize(
    ("value", "text"), [(0.02, "0.02"), (2000.0, "2000"), (1e-6, "$10^{-6}$"), (5e-7, "$5·10^{-7}$"), (1e6, "$10^{6}$")]
)
def test_ticks_are_short(value, text):
    assert plain(value) == text


def test_looks_are_stable():
    """An arm looks the same whatever stands beside it."""
    assert looks(["transfer", "mine"])["transfer"] == looks(["a", "b", "transfer"])["transfer"]


def test_pareto_speaks_of_probability_only_where_runs_repeat_and_groups_of_test_structures_are_known():
    for draws, details, known in ((1, ["blocks"], False), (3, [], False), (3, ["blocks"], True)):
        figure = one(pareto, make_rows(ARMS, draws=draws, spread=jitter), *details).figure
        assert any("P =" in text.get_text() for text in figure.legends[0].get_texts()) is known


def test_errors_of_zero_have_no_place_on_a_logarithmic_axis():
    rows = make_rows(ARMS, n_high=(5, 20))
    rows.loc[rows["metric"] == "force_mae_mev_per_A", "value"] = 0.0
    names = [drawing.name for drawing in learning_curves.draw(Source(Results(rows, Details())), PAPER)]
    assert any("energy" in name for name in names)
    assert not any("force" in name for name in names)
    with pytest.raises(NothingToDraw):
        list(forces_energies.draw(Source(Results(rows, Details())), PAPER))
