"""Tables of dynamics, transport, mixing and hulls, and intervals over groups of test frames."""

import json

import numpy as np
import pytest

from mfbench.benchmarks.observables.stability.report import failures
from mfbench.benchmarks.reports import report
from mfbench.benchmarks.reports.blocks import Blocks
from mfbench.benchmarks.reports.details import Details
from mfbench.benchmarks.reports.ranking import best_of
from mfbench.benchmarks.reports.results import Results
from mfbench.benchmarks.reports.summary import summaries, tidy
from mfbench.mfcore.metrics.bootstrap import hierarchical_interval
from mfbench.mfcore.metrics.intervals import mean_interval
from tests.reports.synthetic import make_rows, with_metric
from tests.reports.synthetic_details import EOS_VOLUMES, GROUPS, LIMIT_PS, OFFSETS, make_details

ARMS = {"single_fidelity": 20.0, "multi_fidelity": 10.0, "transfer": 40.0}


def jitter(arm, draw, seed):
    return 1.0 + 0.02 * np.sin(3 * draw + len(arm) + seed)


def with_dynamics(rows):
    wiggle = {0: -0.01, 1: 0.01, 2: 0.0}
    rows = with_metric(
        rows, "md_survival_fraction_300K", "md", lambda a, d, s: min(1.0, 10.0 / ARMS[a]) + wiggle[d] / 9
    )
    rows = with_metric(rows, "md_rmst_ps_300K", "md", lambda a, d, s: 100.0 / ARMS[a] + wiggle[d], "ps")
    rows = with_metric(
        rows, "nve_drift_mev_per_atom_per_ps", "md", lambda a, d, s: (-1) ** d * 1e-3 * ARMS[a], "meV/atom/ps"
    )
    return with_metric(rows, "li_diffusivity_cm2_per_s_600K", "md", lambda a, d, s: 2.5e-6 + 1e-7 * wiggle[d], "cm²/s")


def test_dynamics_has_a_table_with_its_failures():
    rows = with_dynamics(make_rows(ARMS, draws=3, spread=jitter))
    details = Details(tables=make_details(rows, "survival"))
    text = report(Results(rows, details))
    assert max(map(len, text.splitlines())) <= 120
    assert "MD stability:" in text
    _, stability = text.split("MD stability:")
    lines = {
        line.split()[0]: line for line in stability.split("transport:")[0].splitlines() if line.split(" ")[0] in ARMS
    }
    assert "10.000 ± 0.025*" in lines["multi_fidelity"]
    assert "*" not in lines["transfer"].split("±")[1]  # survives least: not the best, though its number is lowest
    failed = details.table("survival")
    n = int(((failed["arm"] == "transfer") & (failed["mode"] == "close pair")).sum())
    assert f"close pair {n}" in lines["transfer"]
    assert "2.5000 ± 0.0025" in text.split("transport:")[1]  # in 1e-6 cm²/s
    assert "engine errors and timeouts" in text.replace("\n", " ")


def test_errors_of_the_engine_are_no_failures():
    rows = make_rows({"a": 10.0})
    table = make_details(rows, "survival")["survival"]
    counted = failures(table)
    assert counted["replicas"]["a"] == str(len(table))
    assert counted["errors"]["a"] == str(int((table["status"] == "error").sum()))
    assert "wall clock" not in counted["failures"]["a"]
    assert failures(table[:0]) == {}


def test_records_have_stored_units_and_all_metrics():
    rows = with_dynamics(make_rows(ARMS, draws=3, spread=jitter))
    records = {(r["arm"], r["quantity"]): r for r in json.loads(report(Results(rows), "json")) if r["split"] == "md"}
    diffusivity = records["transfer", "li_diffusivity_cm2_per_s_600K"]
    assert (diffusivity["estimate"], diffusivity["unit"]) == (pytest.approx(2.5e-6), "cm²/s")
    assert records["multi_fidelity", "md_rmst_ps_300K"]["best_or_tied"]
    assert not records["transfer", "md_rmst_ps_300K"]["best_or_tied"]
    assert not any(r["best_or_tied"] for r in records.values() if r["quantity"].startswith("li_"))


@pytest.mark.parametrize(
    ("better", "best"), [("lower", ("low",)), ("higher", ("high",)), ("nearer zero", ("middle",)), ("", ())]
)
def test_the_best_follows_the_direction(better, best):
    values = {"low": -2.0, "middle": 0.1, "high": 1.0}
    runs = {arm: {(d, 0): v + 0.001 * d * (1 + len(arm)) for d in range(3)} for arm, v in values.items()}
    assert best_of(runs, better) == best


def test_what_never_differs_marks_nothing():
    assert best_of({"a": {(0, 0): 0.0, (1, 0): 0.0}, "b": {(0, 0): 0.0, (1, 0): 0.0}}) == ()


def test_equal_scores_are_ties():
    runs = {"a": {(0, 0): 1.0, (1, 0): 1.0}, "b": {(0, 0): 1.0, (1, 0): 1.0}, "c": {(0, 0): 0.4, (1, 0): 0.5}}
    assert best_of(runs, "higher") == ("a", "b")


def test_intervals_are_over_runs_and_groups_where_groups_are_stored():
    rows = make_rows(ARMS, draws=3, seeds=2, spread=jitter)
    details = Details(tables=make_details(rows, "blocks"))
    (table,) = summaries(Results(rows, details))
    by_name = {(arm, q.key, q.split): entry for (arm, q), entry in table.entries.items()}
    entry = by_name["transfer", "energy_mae_mev_per_atom", "in_coverage"]
    values = [
        [[40.0 * jitter("transfer", d, s) * (1 + OFFSETS[g]) for g in sorted(GROUPS)] for s in range(2)]
        for d in range(3)
    ]
    expected = hierarchical_interval(values, [GROUPS[g] for g in sorted(GROUPS)])
    assert (entry.interval.low, entry.interval.high) == pytest.approx((expected.low, expected.high))
    runs = {(d, s): 40.0 * jitter("transfer", d, s) for d in range(3) for s in range(2)}
    assert entry.interval.estimate == pytest.approx(mean_interval(runs).estimate)
    assert entry.interval.half_width > 3 * mean_interval(runs).half_width
    assert entry.n_groups == 5
    assert by_name["transfer", "energy_detrended_mae_mev_per_atom", "in_coverage"].n_groups == 0
    note = next(note for note in table.notes() if note.startswith("±"))
    assert note.endswith("; of E, F over draws and 5 groups of test frames (molecules, trajectory blocks).")
    record = next(r for r in tidy([table]) if r["quantity"] == "force_mae_mev_per_A")
    assert record["n_groups"] == 5


def test_where_all_have_groups_the_note_is_short():
    rows = make_rows(ARMS, draws=3, spread=jitter)
    rows = rows[rows["metric"] == "force_mae_mev_per_A"]
    (table,) = summaries(Results(rows, Details(tables=make_details(rows, "blocks"))))
    assert "over draws and 5 groups of test frames" in " ".join(table.notes())
    assert "; of" not in next(note for note in table.notes() if note.startswith("±"))


def test_groups_that_cannot_be_arranged_leave_the_interval_over_draws():
    rows = make_rows({"a": 10.0, "b": 20.0}, draws=3, spread=jitter)
    table = make_details(rows, "blocks")["blocks"]
    runs = {(d, 0): 10.0 * jitter("a", d, 0) for d in range(3)}
    where = ("a", "in_coverage", "energy_mae_mev_per_atom")
    assert Blocks(table).interval(runs, *where)[1] == 5
    lacking = table[~((table["arm"] == "a") & (table["draw"] == 1) & (table["group"] == "c"))]
    for blocks in (table[:0], lacking, table[table["draw"] < 2], table[table["group"] == "a"]):
        assert Blocks(blocks).interval(runs, *where) == (mean_interval(runs), 0)
    one = {(0, 0): 10.0}
    assert Blocks(table).interval(one, *where)[0].n_units == 1  # one run: nothing to rank by
    assert Blocks(table).interval(one, *where)[1] == 0


def test_a_single_run_s_survival_time_has_an_interval_over_its_starts():
    rows = with_metric(make_rows({"a": 10.0, "b": 20.0}), "md_rmst_ps_300K", "md", lambda a, d, s: 12.0, "ps")
    details = Details(tables=make_details(rows, "survival"))
    (table,) = summaries(Results(rows, details))
    (entry,) = [entry for (arm, q), entry in table.entries.items() if (arm, q.key) == ("a", "md_rmst_ps_300K")]
    assert entry.n_groups == 4
    assert 0.0 < entry.interval.low < entry.interval.high <= LIMIT_PS
    assert not table.repeated
    assert any("starting frames of the one run" in note for note in table.notes())
    repeated = with_metric(make_rows({"a": 10.0}, draws=2), "md_rmst_ps_300K", "md", lambda a, d, s: 12.0 + d, "ps")
    (table,) = summaries(Results(repeated, Details(tables=make_details(repeated, "survival"))))
    (entry,) = [entry for (_, q), entry in table.entries.items() if q.key == "md_rmst_ps_300K"]
    assert entry.interval == mean_interval({(0, 0): 12.0, (1, 0): 13.0})
    assert not any("starting frames" in note for note in table.notes())


def test_the_reference_has_a_line_of_its_own():
    """E = 10 eV (V/V0 - 1)² an atom: B = V d²E/dV² = 20 eV / V0."""
    rows = make_rows({"a": 10.0, "b": 20.0}, draws=2)
    for member in EOS_VOLUMES:
        rows = with_metric(rows, f"bulk_modulus_{member}_gpa", "mixing", lambda a, d, s: 200.0 + d, "GPa")
    rows = with_metric(rows, "mixing_energy_mae_mev_per_atom", "mixing", lambda a, d, s: 3.0 + d, "meV/atom")
    details = Details(tables=make_details(rows, "eos"))
    (table,) = summaries(Results(rows, details))
    (section,) = table.sections
    expected = {f"bulk_modulus_{m}_gpa": 20.0 / volume * 160.2177 for m, volume in EOS_VOLUMES.items()}
    assert {q.key: value for q, value in section.reference.items()} == pytest.approx(expected, rel=0.01)
    for format in ("text", "md", "tex"):
        (line,) = [line for line in report(Results(rows, details), format).splitlines() if "HF reference" in line[:15]]
        assert "–" in line or "--" in line  # it has no mean error
        for value in section.reference.values():
            assert f"{value:.0f}" in line
    assert not any(line.startswith("HF reference") for line in report(Results(rows)).splitlines())  # nobody knows


def test_transport_says_how_many_survived_and_which_runs_lack_what():
    rows = make_rows({"a": 10.0, "b": 20.0}, draws=2)
    rows = with_metric(rows, "transport_survival_fraction_600K", "md", lambda a, d, s: 1.0 if a == "a" else 0.5)
    moved = with_metric(rows, "li_diffusivity_cm2_per_s_600K", "md", lambda a, d, s: 2e-6, "cm²/s")
    missing = (moved["metric"] == "li_diffusivity_cm2_per_s_600K") & (moved["arm"] == "b") & (moved["draw"] == 1)
    rows = moved[~missing]
    (table,) = summaries(Results(rows, Details(tables=make_details(rows, "transport"))))
    (section,) = table.sections
    assert section.words == {"survived, all": {"a": "30 of 32", "b": "30 of 32"}}
    notes = table.notes()
    assert "Transport, from some of the finished runs only: b (1 of 2) D(Li) 600 K." in notes
    assert not any("reference's own" in note for note in notes)


def test_dynamics_names_how_often_the_reference_itself_survives():
    rows = make_rows({"a": 10.0, "single_fidelity_all": 4.0}, draws=2)
    for kelvin, rate in ((300, 1.0), (900, 0.75)):
        rows = with_metric(rows, f"md_survival_fraction_{kelvin}K", "md", lambda a, d, s, rate=rate: rate)
    notes = summaries(Results(rows))[0].notes()
    (note,) = [note for note in notes if note.startswith("The reference's own rate")]
    assert note.endswith("trained on every HF label: 1.0 at 300 K, 0.75 at 900 K survived.")
