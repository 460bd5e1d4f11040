"""Errors at twice the labels, in words."""

from __future__ import annotations

from mfbench.benchmarks.reports.extrapolation import curve_lines
from mfbench.benchmarks.reports.results import Results
from tests.reports.synthetic import make_rows
from tests.reports.synthetic_details import results_by_group


def lines(n_high=(25, 50, 100), errors=None, **options: object) -> list[str]:
    rows = make_rows(
        errors or {"single_fidelity": 4.0, "transfer": 2.0, "low_fidelity": 5.0, "delta_labels": 1.0},
        draws=3,
        n_high=n_high,
        spread=lambda arm, draw, seed: 1.0 + 0.05 * draw,
    )
    (part,) = results_by_group(rows).regimes
    return curve_lines(part, **options)  # type: ignore[arg-type]


def test_each_arm_gets_the_error_of_the_power_law_that_made_it_and_the_cost() -> None:
    head, *found = lines(n_all=None, cost=3600.0, low_cost=10.0)
    assert "With twice the HF labels, 200, that is 100 further HF frames (100 CPU-h)" in head
    by_arm = {line.split(":")[0].strip(): line for line in found}
    assert set(by_arm) == {
        "single_fidelity",
        "delta_labels",
        "transfer",
    }
    # forces out of coverage: 4 · 10 · 2 = 80 meV/Å at 100, times the geometric mean of 1, 1.05 and 1.1
    assert "59.4 meV/Å [" in by_arm["single_fidelity"]
    assert "n^-0.50" in by_arm["single_fidelity"]
    assert "95 % interval over 3 draws and 5 groups of test frames" in by_arm["single_fidelity"]
    assert "LF labels more (1000 CPU-s)" in by_arm["delta_labels"]
    assert "LF labels" not in by_arm["transfer"]


def test_without_costs_frames_are_counted() -> None:
    head = lines(n_all=None)[0]
    assert "100 further HF frames, by the power law" in head
    assert "CPU" not in " ".join(lines(n_all=None))


def test_two_sizes_are_too_few_and_one_is_no_curve() -> None:
    found = lines((50, 100), n_all=None)
    assert all("cannot be extrapolated: finished runs have 2 numbers" in line for line in found[1:-1])
    assert "Give 3 or more numbers of HF frames (--n-high)" in found[-1]
    assert lines((100,), n_all=None) == []


def test_an_arm_that_failed_at_the_largest_size_is_said() -> None:
    rows = make_rows({"single_fidelity": 4.0, "transfer": 2.0}, draws=2, n_high=(12, 25, 50, 100))
    rows = rows[~((rows["arm"] == "transfer") & (rows["n_high"] == "100"))]
    (part,) = Results(rows).regimes
    (line,) = (line for line in curve_lines(part, None) if "transfer" in line)
    assert "no run with 100 has finished" in line


def test_an_interval_that_cannot_be_had_is_a_dash_with_its_reason() -> None:
    rows = make_rows({"single_fidelity": 4.0, "transfer": 2.0}, draws=3, n_high=(25, 50, 100))
    (part,) = Results(rows).regimes
    *_, found, why = curve_lines(part, None)
    assert "meV/Å [–] are to be expected" in found
    assert why == "  [–]: no interval, since errors by group of test structures are not stored."
    (part,) = results_by_group(rows[rows["draw"] < 2]).regimes
    assert curve_lines(part, None)[-1].endswith("since 2 draws of the HF set, and at least 3 are asked for.")
