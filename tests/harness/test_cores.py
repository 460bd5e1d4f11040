"""The core of a run is an axis of the grid: in presets, keys, cells and rows."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

from mfbench.benchmarks.harness.columns import with_every_axis
from mfbench.benchmarks.harness.cores import CoreEntry, core_of, entry_of, lacking
from mfbench.benchmarks.harness.cost import Rates
from mfbench.benchmarks.harness.executors.factory import make_executor
from mfbench.benchmarks.harness.plan import Grid, Selection, grid, parse_preset
from mfbench.benchmarks.harness.prepare import prepare, prepare_one
from mfbench.benchmarks.harness.rows_file import read_rows, write_rows
from mfbench.benchmarks.harness.runner import run_all
from mfbench.benchmarks.harness.store import RunStore
from mfbench.mfcore.cores.registry import DEFAULT, core_class
from mfbench.mfcore.errors import ConfigError
from mfbench.mfcore.training.checkpoint import save_tensors
from tests.harness.conftest import spec
from tests.harness.test_runner import Notes

PAIR = CoreEntry(name=DEFAULT).model_copy(update={"name": "fake_pair"})  # before it is installed
ALL = Selection()
TINY = {"core": {"n_layers": 1, "channels": 4, "lmax": 1, "radial_hidden": [4]}}


def make_preset(**plan: Any) -> Any:
    values = {"task": "fake_task", "arms": ["transfer", "multi_head"], "budget": {"atom_gradients": 100}} | plan
    regimes = {"n_low": [10], "n_high": [9], "coverage": ["full"]}
    return parse_preset({"name": "mine", "tasks": [{"regimes": regimes} | values]}, "mine.yml")


def expanded(selection: Selection = ALL, **plan: Any) -> Grid:
    return grid(
        make_preset(**plan),
        selection,
        tasks=["fake_task"],
        arms=["transfer", "multi_head"],
        needs_all_high=lambda arm: False,
        lacking=lacking,
    )


def pairs(found: Grid) -> list[tuple[str, str]]:
    return [(run.arm, run.core_name) for run in found.runs]


def test_a_core_is_named_with_a_short_tag_of_what_it_has_of_its_own() -> None:
    assert entry_of(DEFAULT).label == DEFAULT
    assert entry_of({"channels": 16, "lmax": 1}).label == f"{DEFAULT}(channels=16,lmax=1)"
    assert entry_of({"checkpoint": "weights/small.pt", "channels": [8, 4]}).label == f"{DEFAULT}(small,channels=8x4)"
    long = [entry_of({"radial_hidden": [64, 64], "n_bessel": n, "cutoff": 5.0}).label for n in (8, 9)]
    assert long[0] != long[1]
    assert max(map(len, long)) < 20
    with pytest.raises(ConfigError, match=rf"key 'core.name': no core 'perceptron': known are {DEFAULT}"):
        entry_of("perceptron")


def test_settings_of_one_core_are_not_those_of_another() -> None:
    settings = {"core": {"cutoff": 4.0, "channels": 8}, "training": {"ema": 0.5}}
    same = entry_of({"channels": 16}).over(settings)
    assert same == {"core": {"name": DEFAULT, "cutoff": 4.0, "channels": 16}, "training": {"ema": 0.5}}
    assert PAIR.over(settings) == {"core": {"name": "fake_pair"}, "training": {"ema": 0.5}}
    assert core_of(settings) == CoreEntry()
    assert core_of({"core": DEFAULT}) == core_of({}) == CoreEntry()


@pytest.mark.parametrize("content", [[0.5, "a"], ["ab"], 3, None])
def test_settings_that_give_no_core_are_refused(content: object) -> None:
    with pytest.raises(ConfigError, match=r"key 'core': found .*; a core is given by its name"):
        CoreEntry().over({"core": content})
    with pytest.raises(ConfigError, match=r"key 'core': found .*; a core is given by its name"):
        core_of({"core": content})


@pytest.mark.usefixtures("fakes")
def test_every_arm_runs_on_every_core_that_can_carry_it() -> None:
    found = expanded(core=[DEFAULT, {"channels": 16}, "fake_pair"])
    wide = f"{DEFAULT}(channels=16)"
    expected = [("transfer", DEFAULT), ("transfer", wide), ("transfer", "fake_pair")]
    assert pairs(found) == [*expected, ("multi_head", DEFAULT), ("multi_head", wide)]
    (left,) = found.left_out
    assert (left.task, left.arm, left.core) == ("fake_task", "multi_head", "fake_pair")
    assert left.reason == "it needs heads, and core 'fake_pair' has none, embedding only"
    with pytest.raises(ConfigError, match=r"leaves no run .* Left out: multi_head: it needs heads"):
        expanded(core="fake_pair", arms=["multi_head"])


@pytest.mark.usefixtures("fakes")
def test_a_core_is_selected_or_put_in_place_of_the_presets() -> None:
    cores = [{"channels": 16}, {"channels": 8}]
    both = [f"{DEFAULT}(channels={n})" for n in (16, 8)]
    only = {"arms": ["transfer"]}
    assert [core for _, core in pairs(expanded(Selection(cores=(DEFAULT,)), core=cores, **only))] == both
    assert [core for _, core in pairs(expanded(Selection(cores=(both[1],)), core=cores, **only))] == [both[1]]
    assert pairs(expanded(Selection(cores=("fake_pair",)), **only)) == [("transfer", "fake_pair")]
    assert pairs(expanded(**only)) == pairs(expanded(Selection(cores=(DEFAULT,)), **only)) == [("transfer", DEFAULT)]
    with pytest.raises(ConfigError, match="no core 'perceptron'"):
        expanded(Selection(cores=("perceptron",)), **only)


@pytest.mark.parametrize("core", ["perceptron", [DEFAULT, DEFAULT], 3])
def test_presets_name_the_key_of_a_faulty_core(core: object) -> None:
    with pytest.raises(ConfigError, match=r"mine\.yml: tasks\.0\.core"):
        make_preset(core=core)


@pytest.mark.usefixtures("fakes")
def test_the_key_has_the_core_its_settings_and_the_contents_of_its_checkpoint(tmp_path: Path) -> None:
    base = spec("transfer", settings=TINY)
    named = prepare_one(replace(base, core=entry_of(DEFAULT)))
    assert named.key == prepare_one(base).key
    assert named.identity["core"] == {"name": DEFAULT, "checkpoint_sha256": None}
    weights = tmp_path / "w"
    weights.write_bytes(b"1")
    start = replace(base, core=entry_of({"name": "fake_pair", "checkpoint": str(weights)}))
    runs = [start, replace(base, core=entry_of("fake_pair")), replace(base, core=entry_of({"channels": 8}))]
    keys = [named.key, *(prepare_one(run).key for run in runs)]
    weights.write_bytes(b"2")
    keys.append(prepare_one(start).key)
    assert len(set(keys)) == 5
    with pytest.raises(ConfigError, match=r"key 'core\.channels'"):
        prepare_one(replace(base, core=entry_of({"name": "fake_pair", "channels": 8})))
    with pytest.raises(ConfigError, match="arm 'multi_head': it needs heads"):
        prepare_one(replace(base, arm="multi_head", core=entry_of("fake_pair")))


@pytest.mark.usefixtures("fakes")
def test_runs_of_the_default_core_stand_in_the_cells_that_they_had_before() -> None:
    base = spec("transfer")
    assert "core" not in base.cell()
    assert replace(base, core=entry_of("fake_pair")).cell() == base.cell() | {"core": "fake_pair"}
    assert base.title() != replace(base, core=entry_of("fake_pair")).title()


@pytest.mark.usefixtures("fakes")
def test_a_run_on_a_core_of_another_package_is_trained_and_stored(tmp_path: Path) -> None:
    """From random weights, and from a checkpoint that the core starts with."""
    first = spec("single_fidelity", core=entry_of({"name": "fake_pair", "hidden": 4}), budget=200.0)
    store = RunStore(tmp_path / "out")
    notes, planned = Notes(), prepare([first])
    assert run_all(planned, planned, store, notes, make_executor(0)) == []
    rows = store.rows()
    assert set(rows["core"]) == {"fake_pair(hidden=4)"}
    assert rows["value"].notna().all()
    widths = {"inward": (2 * 8, 4), "elements": (2, 4), "out": (4,)}
    weights = tmp_path / "weights.safetensors"
    save_tensors(weights, {name: torch.ones(shape) for name, shape in widths.items()}, {})
    again = replace(first, core=entry_of({"name": "fake_pair", "hidden": 4, "checkpoint": str(weights)}))
    planned = prepare([again])
    assert run_all(planned, planned, store, notes, make_executor(0)) == []
    rows = store.rows()
    assert set(rows["core"]) == {"fake_pair(hidden=4)", "fake_pair(weights,hidden=4)"}
    assert set(rows["starts_from"]) == {""}  # this arm has random weights all the same
    assert set(rows.loc[rows["core"] == "fake_pair(hidden=4)", "starts_from"]) == {""}


@pytest.mark.usefixtures("fakes")
def test_the_first_guess_of_a_peers_time_is_not_that_of_our_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "weights").write_bytes(b"1")
    rates = Rates(RunStore(tmp_path / "out"))
    own = rates.expect(spec("transfer", core=entry_of("fake_pair"), budget=1e4)).cpu_s
    monkeypatch.setattr(core_class("fake_pair"), "package", "numpy")
    small = rates.expect(spec("transfer", core=entry_of("fake_pair"), budget=1e4)).cpu_s
    start = entry_of({"name": "fake_pair", "checkpoint": str(tmp_path / "weights")})
    released = rates.expect(spec("transfer", core=start, budget=1e4)).cpu_s
    assert own < small < released


def test_rows_from_before_are_of_the_default_core(fakes: Path, tmp_path: Path) -> None:
    store, planned = RunStore(tmp_path / "out"), prepare([spec()])
    run_all(planned, planned, store, Notes(), make_executor(0))
    rows = store.rows()
    path = tmp_path / "rows.csv.gz"
    write_rows(rows.drop(columns=["core", "selection", "budget"]), path)
    again = read_rows(path)
    assert list(again.columns) == list(rows.columns)
    assert set(again["core"]) == {DEFAULT}
    assert {*again["selection"], *again["budget"]} == {"default"}
    write_rows(rows.assign(budget="4e+06"), path)
    assert set(read_rows(path)["budget"]) == {"4e+06"}
    empty = pd.DataFrame({"run_key": []})
    assert with_every_axis(empty) is empty
