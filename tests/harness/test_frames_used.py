"""Frames of runs as numbers in the order of the task, and rows that are recounted."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mfbench.benchmarks.harness.details import read_detail
from mfbench.benchmarks.harness.frames_used import as_ranges, frames_used, of_ranges
from mfbench.benchmarks.harness.recount import main, recount
from mfbench.benchmarks.harness.rows_file import read_rows, write_rows
from mfbench.benchmarks.harness.rules import selected_by
from mfbench.benchmarks.tasks.registry import make_task
from mfbench.mfcore.data.splits import SPLIT_RULE, ids_hash
from mfbench.mfcore.errors import DataError
from mfbench.mfcore.training.config import TrainingConfig

RESULTS = Path(__file__).parents[2] / "results"


def test_ranges_by_hand():
    assert as_ranges([9, 0, 2, 1, 3, 7, 10, 9]) == "0-3,7,9-10"
    assert as_ranges([]) == ""
    assert of_ranges("0-3,7,9-10") == {0, 1, 2, 3, 7, 9, 10}


@given(st.frozensets(st.integers(0, 60)))
def test_ranges_come_back(numbers):
    assert of_ranges(as_ranges(numbers)) == numbers


def test_frames_are_those_of_the_training_set():
    task = make_task("ingan")
    training = task.split(task.default_regime, 0).training
    lines = frames_used(task.frames, training, uses_low=True)
    assert [(line["part"], line["fidelity"]) for line in lines] == [
        ("train", "pbe"),
        ("train", "r2scan"),
        ("validation", "r2scan"),
    ]
    for line, frames in zip(lines, [*training.train.values(), training.validation], strict=True):
        chosen = [task.frames[i] for i in of_ranges(line["frames"])]
        assert line["ids_sha256"] == ids_hash(chosen) == ids_hash(frames)
        assert line["n"] == len(frames) == len(chosen)
    assert [line["part"] for line in frames_used(task.frames, training, uses_low=False)] == ["train", "validation"]


def test_the_rule_of_selection_is_named():
    assert selected_by({"training": {"selection": "last"}}) == "last"
    assert selected_by({}) == TrainingConfig().selection


def of_draw(rows, arms):
    return rows[(rows["draw"] == 0) & (rows["n_high"].isin(["10", "all"])) & rows["arm"].isin(arms)]


def test_rows_are_recounted_and_a_label_that_another_starts_from_is_paid_once(tmp_path):
    """PBE labels of the HF frames come with the r2SCAN ones: Δ on labels pays what transfer pays."""
    rows = of_draw(read_rows(RESULTS / "ingan" / "rows.csv.gz"), ["delta_labels", "transfer"])
    rows = rows[rows["n_high"] == "10"]
    source = tmp_path / "rows.csv.gz"
    write_rows(rows.drop(columns=["selected_by", "split_rule"]), source)
    main([str(source), "--selection", "loss"])
    found = read_rows(source).drop_duplicates("run_key")
    assert set(found["selected_by"]) == {"loss"}
    assert set(found["split_rule"]) == {SPLIT_RULE}
    first, second = found["label_cost_cpu_s"]
    assert first == pytest.approx(second)
    frames = read_detail(source, "frames")
    assert set(frames["run_key"]) == set(rows["run_key"])
    assert set(frames.loc[frames["part"] == "train", "n"]) == {80, 10}


def test_rows_that_started_from_a_checkpoint_paid_for_no_lf_label(tmp_path):
    rows = of_draw(read_rows(RESULTS / "ingan" / "rows.csv.gz"), ["transfer"])
    rows = rows[rows["n_high"] == "10"]
    _, frames = recount(rows.assign(starts_from="model:pbe", label_cost_cpu_s=float("nan")), "loss", RESULTS)
    assert set(frames.loc[frames["part"] == "train", "n"]) == {10}


def test_rows_of_other_frames_are_refused():
    rows = of_draw(read_rows(RESULTS / "ingan" / "rows.csv.gz"), ["transfer"])
    with pytest.raises(DataError, match="it was trained on others"):
        recount(rows.assign(label_cost_cpu_s=1.0), "loss", RESULTS)
