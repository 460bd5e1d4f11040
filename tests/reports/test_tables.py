"""Tables from synthetic rows with known values."""

import csv
import io
import json
import math
import re

import pytest

from mfbench.benchmarks.reports import recommendation, report
from mfbench.benchmarks.reports.results import Results
from mfbench.benchmarks.reports.tables import number, with_error
from mfbench.mfcore.errors import ConfigError
from tests.reports.synthetic import make_rows, with_metric
from tests.reports.synthetic_details import results_by_group

ARMS = {
    "low_fidelity": 30.0,
    "single_fidelity": 20.0,
    "multi_fidelity": 10.0,
    "multi_head": 14.0,
    "transfer": 11.0,
    "transfer_frozen": 15.0,
    "transfer_replay": 13.0,
    "delta_labels": 7.5,
    "delta_model": 9.0,
    "single_fidelity_all": 4.0,
}

GOLDEN = """\
synthetic, n_high = 100, n_low = 400, low=EF,high=E, disjoint, coverage gap
                                                         E              E
                             E              E  (detrended)    (detrended)          F              F
                     in domain  out of domain    in domain  out of domain  in domain  out of domain
arm                     meV/at         meV/at       meV/at         meV/at      meV/Å          meV/Å  runs  failed
──────────────────────────────────────────────────────────────────────────────────────────────────────────────────
single_fidelity           20.0           40.0         10.0           20.0        200            400     1       0
multi_fidelity            10.0           20.0         5.00           10.0        100            200     1       0
single_fidelity_all       4.00           8.00         2.00           4.00       40.0           80.0     1       0

                         train
                      10⁶ atom  train  train  train  labels  inference
arm                  gradients  steps      s  CPU-s   CPU-s      µs/at  networks  runs  failed
───────────────────────────────────────────────────────────────────────────────────────────────
single_fidelity          0.300   2412   21.4   40.0    1234       85.2         1     1       0
multi_fidelity           0.300   2412   21.4   40.0    1234       85.2         1     1       0
single_fidelity_all      0.300   2412   21.4   40.0    1234       85.2         1     1       0

                     LF E           LF E       LF F           LF F
                in domain  out of domain  in domain  out of domain
arm                meV/at         meV/at      meV/Å          meV/Å
───────────────────────────────────────────────────────────────────
multi_fidelity       20.0           40.0        200            400

E, F: MAE of HF energies and forces; detrended: without the composition-linear part of the errors of energies (of few
compositions, no more than elements: without the mean error of each); in and out of domain: test frames inside and
outside of the HF training set's coverage; atom gradients: atoms × structures × passes, those on energies alone or of a
frozen trunk counted like others though they take less time; the CPU time of training charges them by what they cost, as
measured (train, CPU-s); at: atom; networks: how many are evaluated for a prediction.
One run per arm cannot rank the arms: repeat over draws of the HF set (five say much more than two).
single_fidelity_all: the ceiling: it is given every HF label, and is not ranked.
"""

#: Draw means 1 - x and 1 + x times the arm's error.
SPREAD = {"single_fidelity": 0.010, "multi_fidelity": 0.012, "transfer": 0.011, "delta_model": 0.013}


def spread(arm, draw, seed):
    return 1.0 + SPREAD.get(arm, 0.01) * (2 * draw - 1)


def test_one_run_per_arm_gives_plain_numbers():
    arms = {arm: ARMS[arm] for arm in ("single_fidelity_all", "multi_fidelity", "single_fidelity")}
    assert report(Results(make_rows(arms))) == GOLDEN


def test_every_cell_of_ten_arms_is_a_number_within_120_columns():
    text = report(Results(make_rows(ARMS)))
    assert max(map(len, text.splitlines())) <= 120
    errors, costs, *_ = text.split("\n\n")
    for part, width in ((errors, 9), (costs, 10)):
        lines = [line.split() for line in part.splitlines() if line.split(" ")[0] in ARMS]
        assert len(lines) == len(ARMS)
        assert all(len(line) == width and all(math.isfinite(float(cell)) for cell in line[1:]) for line in lines)


def test_repeats_bring_intervals_and_ties():
    """Half-width 12.706 · x · error at two draws; the best arm and no other is marked."""
    arms = {"single_fidelity": 20.0, "multi_fidelity": 10.0, "transfer": 10.05, "delta_model": 90.0}
    text = report(Results(make_rows(arms, draws=2, seeds=3, spread=spread)))
    assert max(map(len, text.splitlines())) <= 120
    cells = {line.split("  ")[0]: line for line in text.split("\n\n")[0].splitlines() if "±" in line}
    assert f"10.0 ± {12.7062 * 0.12:.1f}*" in cells["multi_fidelity"]
    assert "*" in cells["transfer"]
    assert f"20.0 ± {12.7062 * 0.2:.1f} " in cells["single_fidelity"]
    assert "*" not in cells["single_fidelity"]
    assert "95 % confidence interval over draws" in text
    assert "cannot rank" not in text


def test_terminal_and_markdown_show_ties_in_bold():
    arms = {"single_fidelity": 20.0, "multi_fidelity": 10.0, "transfer": 100.0}
    rows = make_rows(arms, draws=2, spread=spread)
    styled = report(Results(rows), "text", styled=True)
    assert re.search(r"\x1b\[1m\s*10\.0 ± 1\.5", styled)
    markdown = report(Results(rows), "markdown")
    assert "| **10.0 ± 1.5** |" in markdown
    assert "**" not in next(line for line in markdown.splitlines() if line.startswith("| `single_fidelity`"))
    assert markdown == report(Results(rows), "md")


def test_the_ceiling_is_never_marked_best():
    text = report(Results(make_rows({"single_fidelity_all": 1.0, "a": 10.0, "b": 30.0}, draws=3, spread=spread)))
    line = next(line for line in text.splitlines() if line.startswith("single_fidelity_all") and "±" in line)
    assert "*" not in line


def test_failed_runs_are_counted_and_said():
    rows = make_rows(ARMS, draws=2, seeds=3, spread=spread, failed=[("transfer", 0, 2), ("transfer", 1, 0)])
    text = report(Results(rows))
    assert "transfer: 2 of 6 runs failed; they are in no mean." in text
    lines = [line for line in text.splitlines() if line.startswith("transfer ")]
    assert all(line.split()[-2:] == ["6", "2"] for line in lines)


def test_a_run_that_scored_nan_has_failed():
    rows = make_rows({"a": 10.0, "b": 20.0}, draws=2)
    bad = (rows["arm"] == "a") & (rows["draw"] == 1) & (rows["metric"] == "force_mae_mev_per_A")
    rows.loc[bad, "value"] = float("nan")
    assert "a: 1 of 2 runs failed" in report(Results(rows))


def test_an_arm_that_always_fails_stands_in_the_table():
    text = report(Results(make_rows({"a": 10.0, "b": 20.0}, failed=[("b", 0, 0)])))
    errors, costs, *_ = text.split("\n\n")
    for part, n in ((errors, 6), (costs, 7)):
        line = next(line for line in part.splitlines() if line.startswith("b "))
        assert line.split() == ["b", *["–"] * n, "1", "1"]


def test_one_table_for_each_set_size_in_order():
    text = report(Results(make_rows({"a": 10.0, "single_fidelity_all": 1.0}, n_high=(400, 25, 100))))
    assert re.findall(r"n_high = (\w+)", text) == ["25", "100", "400"]
    assert text.count("\nsingle_fidelity_all ") == 6  # errors and costs


def test_regimes_are_not_mixed():
    rows = make_rows({"a": 10.0})
    other = make_rows({"a": 90.0}).assign(labels="low=EF,high=EF")
    import pandas as pd

    text = report(Results(pd.concat([rows, other])))
    assert [line.split()[1] for line in text.splitlines() if line.startswith("a ")][::2] == ["10.0", "90.0"]


def test_csv_and_json_are_not_rounded():
    rows = make_rows({"a": 10.123456789, "single_fidelity_all": 1.0}, n_high=(25, 100))
    records = json.loads(report(Results(rows), "json"))
    table = list(csv.DictReader(io.StringIO(report(Results(rows), "csv"))))
    assert len(table) == len(records)
    chosen = [r for r in records if (r["arm"], r["n_high"], r["quantity"]) == ("a", "100", "energy_mae_mev_per_atom")]
    assert {r["split"]: r["estimate"] for r in chosen} == pytest.approx(
        {"in_coverage": 10.123456789, "out_of_coverage": 20.246913578}
    )
    assert chosen[0]["low"] is None
    ceiling = [r for r in records if r["arm"] == "single_fidelity_all" and r["split"] == "in_coverage"]
    assert len(ceiling) == 3  # once, not once for each set size


def test_latex_has_siunitx_numbers():
    text = report(Results(make_rows({"multi_fidelity": 10.0, "b": 40.0}, draws=2, spread=spread)), "latex")
    assert r"multi\_fidelity & \bfseries 10.0 +- 1.5 &" in text
    assert text.count(r"\toprule") == text.count(r"\bottomrule") == 3
    assert r"\begin{tabular}{lSSSSSSrr}" in text
    assert "Å" not in text.split(r"\midrule")[0].split(r"\toprule")[1]


def test_unknown_formats_and_columns_are_refused():
    rows = make_rows({"a": 10.0})
    with pytest.raises(ConfigError, match="report format 'xls'"):
        report(Results(rows), "xls")
    with pytest.raises(ConfigError, match="no column arm, draw"):
        report(Results(rows.drop(columns=["arm", "draw"])))


@pytest.mark.parametrize(
    ("value", "text"),
    [(1234.4, "1234"), (12.34, "12.3"), (0.01234, "0.0123"), (9.996, "10.0"), (0.0, "0"), (1e-9, "1.00e-09")],
)
def test_three_significant_digits(value, text):
    assert number(value) == text


@pytest.mark.parametrize(
    ("value", "error", "text"),
    [
        (12.345, 1.234, "12.3 ± 1.2"),
        (12.3, 0.0996, "12.30 ± 0.10"),
        (1234.0, 56.0, "1234 ± 56"),
        (5.0, 0.0, "5.00 ± 0"),
    ],
)
def test_errors_have_two_significant_digits(value, error, text):
    assert with_error(value, error) == text


def test_answers_without_training_are_lines_and_arms_no_better_than_a_constant_are_named():
    rows = make_rows({"a": 10.0, "b": 20.0, "flat": 90.0}, draws=3, spread=spread)
    for prefix, value in (("constant", 1500.0), ("lf_labels", 300.0)):
        rows = with_metric(
            rows, f"{prefix}_force_mae_mev_per_A", "out_of_coverage", lambda a, d, s, v=value: v, "meV/Å"
        )
    made = report(results_by_group(rows))
    assert re.search(r"^constant predictor +– .* 1500 ", made, re.MULTILINE)
    assert re.search(r"^LF labels +– .* 300 ", made, re.MULTILINE)
    assert "Failed to train (HF force MAE, out of domain, no better than the constant predictor): flat." in made
    (found,) = recommendation(results_by_group(rows)).values()
    assert (found.arm, found.compared) == ("a", ("a", "b"))
    assert "Left out, since not better than a constant: flat." in found.reason
