"""`mfbench score-discovery`: a prediction file against the summary of a test set."""

from __future__ import annotations

import csv
import importlib.metadata
import json
import math
import warnings
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
import plotly.express as px
import plotly.io as pio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mfbench.benchmarks.discovery.score
from mfbench.benchmarks.discovery.files import ID, read_predictions, read_summary
from mfbench.benchmarks.discovery.published import stable_metrics
from mfbench.benchmarks.discovery.score import FORMATION, HULL, UNIQUE, score_discovery
from mfbench.mfcore.errors import ConfigError, DataError
from mfbench.mfcore.metrics.discovery import stability_scores

MODEL = "e_form_per_atom_made"


def material(number: int) -> str:
    return f"wbm-1-{number}"


def made(n: int = 60, seed: int = 0) -> tuple[pd.DataFrame, pd.Series]:
    """A test set, and predictions that are wrong by about as much as materials are above the hull."""
    draw = np.random.default_rng(seed)
    index = pd.Index([material(i) for i in range(n)], name=ID)
    distance = draw.normal(0.05, 0.1, n).round(3)
    reference = pd.DataFrame(
        {HULL: distance, FORMATION: draw.normal(-1, 1, n).round(3), UNIQUE: draw.random(n) < 0.7}, index=index
    )
    return reference, (reference[FORMATION] + draw.normal(0, 0.05, n)).round(3).rename(MODEL)


def files(folder: Path, reference: pd.DataFrame, predictions: pd.Series) -> tuple[Path, Path]:
    summary, mine = folder / "wbm.csv.gz", folder / "mine.csv.gz"
    reference.reset_index().to_csv(summary, index=False)
    predictions.rename_axis(ID).reset_index().to_csv(mine, index=False)
    return mine, summary


def scores_of(call, mine: Path, summary: Path, *words: object) -> dict[str, dict]:
    result = call("score-discovery", mine, "--wbm", summary, "--format", "json", *words)
    assert result.exit_code == 0, result.stderr
    return {record.pop("subset"): record for record in json.loads(result.stdout)["subsets"]}


def test_by_hand(call, tmp_path: Path) -> None:
    # on the hull and found; on it and missed; above it and taken for stable; above it; on it without a prediction
    distance, error = [0.0, -0.02, 0.03, 0.2, -0.1], [0.0, 0.1, -0.05, -0.1, math.nan]
    index = pd.Index([material(i) for i in range(5)], name=ID)
    formation = np.array([-1.0, -2.0, 0.5, 0.1, -0.3])
    unique = [True, False, True, True, True]
    reference = pd.DataFrame({HULL: distance, FORMATION: formation, UNIQUE: unique}, index=index)
    mine, summary = files(tmp_path, reference, pd.Series(formation + error, index, name=MODEL))
    found = scores_of(call, mine, summary)
    full = found["full"]
    assert [full[f"{kind}_{sign}s"] for kind in ("true", "false") for sign in ("positive", "negative")] == [1, 1, 1, 2]
    assert (full["n"], full["n_stable"], full["n_missing"]) == (5, 3, 1)
    assert (full["precision"], full["recall"]) == pytest.approx((1 / 2, 1 / 3))
    assert full["f1"] == pytest.approx(2 / 5)
    assert full["daf"] == pytest.approx((1 / 2) / (3 / 5))
    assert full["accuracy"] == pytest.approx(2 / 5)
    assert full["mae_ev_per_atom"] == pytest.approx(0.25 / 4)
    assert found["unique_prototypes"]["n"] == 4
    assert found["unique_prototypes"]["daf"] == pytest.approx((1 / 2) / (2 / 4))
    loose = scores_of(call, mine, summary, "--threshold", 0.09)["full"]
    assert (loose["n_stable"], loose["true_positives"], loose["false_positives"]) == (4, 3, 0)


def test_the_table_names_subsets_missing_ones_and_whose_functions(call, tmp_path: Path) -> None:
    reference, predictions = made()
    mine, summary = files(tmp_path, reference, predictions.iloc[:-7])
    result = call("score-discovery", mine, "--wbm", summary)
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[0].startswith("| subset | n | stable | missing | F1 | DAF |")
    full = [cell.strip() for cell in lines[2].split("|")[1:-1]]
    kept = predictions.where(np.arange(60) < 53)
    truth = stability_scores(reference[HULL], reference[HULL] + kept - reference[FORMATION])
    assert full[:4] == ["full", "60", str(truth.n_stable), "7"]
    assert full[4:6] == [f"{truth.f1:.3f}", f"{truth.daf:.3f}"]
    assert f"Column {MODEL}. Stable: at most 0 eV/atom above the DFT hull. A missing prediction counts" in result.stdout
    assert "Scored with stable_metrics of matbench_discovery 1." in result.stdout
    table = list(csv.DictReader(call("score-discovery", mine, "--wbm", summary, "--format", "csv").stdout.splitlines()))
    assert [row["subset"] for row in table] == ["full", "unique_prototypes", "most_stable_10k"]
    assert float(table[0]["f1"]) == pytest.approx(truth.f1)
    only = scores_of(call, mine, summary, "--subset", "unique_prototypes")
    assert list(only) == ["unique_prototypes"]


def test_the_most_stable_are_unique_prototypes_with_their_prevalence(
    call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mfbench.benchmarks.discovery.score, "N_MOST_STABLE", 8)
    reference, predictions = made()
    predictions.iloc[3:9] = np.nan
    found = scores_of(call, *files(tmp_path, reference, predictions))["most_stable_10k"]
    unique = reference[reference[UNIQUE]]
    distance = unique[HULL] + predictions[unique.index] - unique[FORMATION]
    best = distance.nsmallest(8)
    expected = stability_scores(unique.loc[best.index, HULL], best, prevalence=float((unique[HULL] <= 0).mean()))
    assert (found["n"], found["n_missing"]) == (8, 0)
    assert (found["precision"], found["daf"]) == pytest.approx((expected.precision, expected.daf))
    assert 1 < found["daf"] < len(unique) / (unique[HULL] <= 0).sum() + 1e-9


def test_rounding_and_cleaning_are_the_benchmarks_unless_exact(call, tmp_path: Path) -> None:
    index = pd.Index([material(i) for i in range(4)], name=ID)
    reference = pd.DataFrame({HULL: [0.0004, 0.2, -0.3, 0.3], FORMATION: 0.0, UNIQUE: True}, index=index)
    predictions = pd.Series([0.0, 0.0, 5.5, -5.5], index, name=MODEL)
    words = files(tmp_path, reference, predictions)
    found = scores_of(call, *words)
    assert found["full"]["n_stable"] == 2  # 0.4 meV/atom above the hull is on it
    assert found["full"]["n_missing"] == 2
    assert found["full"]["daf"] == pytest.approx(1 / (2 / 4))
    # the leaderboard takes the share of stable unique prototypes before rounding
    assert found["unique_prototypes"]["daf"] == pytest.approx(1 / (1 / 4))
    assert "(2 here) count as missing" in call("score-discovery", words[0], "--wbm", words[1]).stdout
    exact = scores_of(call, *words, "--exact")["full"]
    assert (exact["n_stable"], exact["n_missing"], exact["false_positives"]) == (1, 0, 1)


def test_what_must_not_matter() -> None:
    reference, predictions = made(200)
    predictions.iloc[::9] = np.nan
    report = score_discovery(reference, predictions)
    assert score_discovery(reference, predictions.sample(frac=1, random_state=1)) == report
    assert score_discovery(reference, predictions.dropna()) == report  # absent or empty: missing
    shifted = reference.assign(**{FORMATION: reference[FORMATION] + 1})  # the energy of an element
    other = score_discovery(shifted, predictions + 1, exact=True)
    for name, scores in score_discovery(reference, predictions, exact=True).subsets.items():
        assert other.subsets[name].f1 == pytest.approx(scores.f1, abs=0.02)  # a tie at the threshold may turn
        assert other.subsets[name].mae_ev_per_atom == pytest.approx(scores.mae_ev_per_atom)


energies = st.none() | st.floats(-20, 20)


@settings(deadline=None, max_examples=30)
@given(
    values=st.lists(energies, min_size=1, max_size=20),
    format=st.sampled_from(["csv", "csv.gz", "json", "json.gz", "index.json", "parquet"]),
)
def test_every_format_reads_the_same(tmp_path_factory: pytest.TempPathFactory, values, format: str) -> None:
    path = tmp_path_factory.getbasetemp() / f"preds.{format}"
    table = pd.DataFrame({ID: [material(i) for i in range(len(values))], MODEL: pd.Series(values, dtype=float)})
    write = {
        "csv": lambda: table.to_csv(path, index=False),
        "json": lambda: table.to_json(path, double_precision=15),
        "index.json": lambda: table.set_index(ID).to_json(path, double_precision=15),
        "parquet": lambda: table.to_parquet(path),
    }
    write[format.removesuffix(".gz")]()
    found = read_predictions(path)
    assert found.name == MODEL
    assert list(found.index) == list(table[ID])
    np.testing.assert_allclose(found, table[MODEL], rtol=1e-12, atol=1e-14)


def complaint(call, mine: Path, summary: Path, *words: object) -> str:
    result = call("score-discovery", mine, "--wbm", summary, *words)
    assert result.exit_code == 2
    assert not result.stdout
    return result.stderr


def test_faults_of_predictions_are_named(call, tmp_path: Path) -> None:
    reference, predictions = made()
    mine, summary = files(tmp_path, reference, predictions * 1000)
    assert "They look like meV/atom" in complaint(call, mine, summary)
    files(tmp_path, reference, predictions - 100)
    assert "Are they total energies?" in complaint(call, mine, summary)
    files(tmp_path, reference, predictions.rename(index={material(5): "mp-5"}))
    assert "1 of 60 materials are not in the test set, such as 'mp-5'" in complaint(call, mine, summary)
    files(tmp_path, reference, pd.concat([predictions, predictions.iloc[:2]]))
    assert "2 ids are there more than once, such as 'wbm-1-0'" in complaint(call, mine, summary)
    files(tmp_path, reference, predictions.astype(object).where(predictions.index != material(4), "n.a.!"))
    assert f"key '{MODEL}': material 'wbm-1-4': expected a number, found 'n.a.!'" in complaint(call, mine, summary)
    files(tmp_path, reference, predictions * math.nan)
    assert "not a single prediction" in complaint(call, mine, summary)
    files(tmp_path, reference, predictions.rename("energy"))
    assert "expected one column of predicted formation energies" in complaint(call, mine, summary)
    assert "there are material_id, energy" in complaint(call, mine, summary, "--column", "e_form")
    assert scores_of(call, mine, summary, "--column", "energy")["full"]["n"] == 60
    assert "key 'id': no such column" in complaint(call, mine, summary, "--column", "energy", "--id", "id")


def test_the_column_is_not_guessed_among_several(call, tmp_path: Path) -> None:
    reference, predictions = made()
    mine, summary = files(tmp_path, reference, predictions)
    table = pd.DataFrame({MODEL: predictions, FORMATION: reference[FORMATION]})
    table.to_csv(mine)
    assert scores_of(call, mine, summary)["full"]["mae_ev_per_atom"] > 0  # the DFT column is no candidate
    table.assign(e_form_per_atom_other=0.0).to_csv(mine)
    assert f"2 could be it: {MODEL}, e_form_per_atom_other" in complaint(call, mine, summary)


def test_faults_of_files_are_named(call, tmp_path: Path) -> None:
    reference, predictions = made()
    mine, summary = files(tmp_path, reference, predictions)
    assert "none.csv: cannot be read" in complaint(call, tmp_path / "none.csv", summary)
    broken = tmp_path / "broken.csv.gz"
    broken.write_bytes(mine.read_bytes()[:40])
    assert "broken.csv.gz: cannot be read" in complaint(call, broken, summary)
    broken.with_suffix("").write_text("")
    assert "broken.csv: cannot be read" in complaint(call, broken.with_suffix(""), summary)
    assert "expected a .csv" in complaint(call, tmp_path / "frames.xyz", summary)
    assert f"key '{HULL}': no such column" in complaint(call, mine, mine)
    files(tmp_path, reference.drop(columns=UNIQUE), predictions)
    assert "only --subset full can be scored" in complaint(call, mine, summary)
    assert scores_of(call, mine, summary, "--subset", "full")["full"]["n"] == 60
    files(tmp_path, reference.assign(**{HULL: reference[HULL].where(reference.index != material(3))}), predictions)
    assert "1 materials have no value, such as 'wbm-1-3'" in complaint(call, mine, summary)
    files(tmp_path, reference.astype({UNIQUE: object}).replace({UNIQUE: {True: "maybe"}}), predictions)
    assert "expected true or false" in complaint(call, mine, summary)
    assert "finite" in complaint(call, mine, summary, "--threshold", "nan")
    (tmp_path / "holes.csv").write_text(f"{ID},{MODEL}\nwbm-1-1,0.1\n,0.2\n")
    with pytest.raises(DataError, match="no id"):
        read_predictions(tmp_path / "holes.csv")


def test_the_published_function_is_used_where_it_is_defined() -> None:
    reference, predictions = made()
    seen = []

    def stable_metrics(truth, predicted, *, stability_threshold, fillna):
        seen.append((len(truth), stability_threshold, fillna))
        names = ("F1", "DAF", "Precision", "Recall", "Accuracy", "MAE", "RMSE", "R2")
        return dict.fromkeys(names, 0.125)

    published = stable_metrics, "a fake"
    report = score_discovery(reference, predictions, threshold=0.01, published=published)
    full = report.subsets["full"]
    assert (full.f1, full.precision, full.r2, full.daf) == (0.125, 0.125, 0.125, 0.125)
    assert full.accuracy != 0.125
    unique = report.subsets["unique_prototypes"]
    assert unique.daf == pytest.approx(0.125 / (reference[HULL][reference[UNIQUE]] <= 0.01).mean())
    assert seen[0] == (60, 0.01, True)
    silent = score_discovery(reference, reference[FORMATION].rename(MODEL) + 3, published=published)
    assert (silent.subsets["full"].f1, len(seen)) == (0, 3)  # nothing called stable: there it would divide by zero


def test_the_import_of_the_package_leaves_no_trace() -> None:
    before = dict(mpl.rcParams), pio.templates.default, px.defaults.template, list(warnings.filters)
    function, name = stable_metrics()
    assert (dict(mpl.rcParams), pio.templates.default, px.defaults.template, list(warnings.filters)) == before
    assert function.__module__ == "matbench_discovery.metrics"
    assert name.startswith("stable_metrics of matbench_discovery 1.")


def test_without_the_package_there_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def lacks(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", lacks)
    with pytest.raises(ConfigError, match=r"pip install 'mfbench\[discovery\]'"):
        stable_metrics()


@pytest.mark.parametrize("share_missing", [0.0, 0.2])
def test_scores_are_those_of_an_independent_computation(share_missing: float) -> None:
    draw = np.random.default_rng(7)
    truth = draw.normal(0.05, 0.1, 500)
    predicted = np.where(draw.random(500) < share_missing, math.nan, truth + draw.normal(0, 0.05, 500))
    theirs = stable_metrics()[0](pd.Series(truth), pd.Series(predicted))
    ours = stability_scores(truth, predicted)
    pairs_of = {
        "F1": ours.f1,
        "DAF": ours.daf,
        "Precision": ours.precision,
        "Recall": ours.recall,
        "FPR": ours.false_positive_rate,
        "TP": ours.true_positives,
        "FP": ours.false_positives,
        "TN": ours.true_negatives,
        "FN": ours.false_negatives,
        "MAE": ours.mae_ev_per_atom,
        "RMSE": ours.rmse_ev_per_atom,
        "R2": ours.r2,
    }
    assert {key: theirs[key] for key in pairs_of} == pytest.approx(pairs_of, rel=1e-9)
    if not share_missing:  # with missing ones, 1.3.1 divides by the number of predictions
        assert theirs["Accuracy"] == pytest.approx(ours.accuracy)


def test_what_only_one_file_has_is_left_out_on_request(call, tmp_path: Path) -> None:
    reference, predictions = made()
    kept = reference.index[10:50]
    mine, summary = files(tmp_path, reference.loc[kept], predictions)  # all predictions, a subset's summary
    assert "20 of 60 materials are not in the test set" in complaint(call, mine, summary)
    found = scores_of(call, mine, summary, "--intersect")
    files(tmp_path, reference.loc[kept], predictions[kept])
    assert found == scores_of(call, mine, summary)
    assert found == scores_of(call, mine, summary, "--intersect")
    files(tmp_path, reference, predictions[kept].where(kept != material(20)))  # and the other way round
    assert scores_of(call, mine, summary)["full"]["n_missing"] == 21
    both = scores_of(call, mine, summary, "--intersect")["full"]
    assert (both["n"], both["n_missing"]) == (40, 1)  # an empty cell is a missing prediction all the same
    files(tmp_path, reference.iloc[:50], predictions.iloc[10:])
    text = call("score-discovery", mine, "--wbm", summary, "--intersect").stdout
    assert "10 predictions of materials that the summary lacks and 10 materials without a row" in text
    files(tmp_path, reference.iloc[:5], predictions.iloc[10:])
    assert "no material is in both files" in complaint(call, mine, summary, "--intersect")


def test_a_full_test_set_takes_seconds(tmp_path: Path) -> None:
    import time

    reference, predictions = made(257_000)
    mine, summary = tmp_path / "mine.csv", tmp_path / "wbm.csv"  # to compress them would take the longest
    predictions.to_csv(mine)
    reference.to_csv(summary)
    start = time.process_time()
    report = score_discovery(read_summary(summary), read_predictions(mine))
    assert time.process_time() - start < 10
    assert report.subsets["most_stable_10k"].n == 10_000
