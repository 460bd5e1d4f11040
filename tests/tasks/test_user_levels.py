"""A user's files: their own test frames, levels by name, and no LF file; what may be learned, and what is refused."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.calculators.emt import EMT
from ase.io import write

from mfbench.benchmarks.harness.user_data import check_sizes, comparable_arms, comparison, held_out, pool_sizes
from mfbench.benchmarks.tasks.user import UserTask
from mfbench.benchmarks.tasks.user_files import sources_of
from mfbench.benchmarks.tasks.user_tests import make_distinct
from mfbench.mfcore.data.frames import energy_of, forces_of, has_label
from mfbench.mfcore.data.splits import group_of, id_of
from mfbench.mfcore.errors import ConfigError, DataError, LeakageError
from mfbench.mfcore.fidelity import Label
from tests.tasks.toy import rattled as geometries

SCALE = {"low": 1.0, "mid": 1.3, "high": 1.5}


def labelled(frames: Sequence[Atoms], level: str, key: str = "REF", forces: bool = True) -> list[Atoms]:
    """Return copies with EMT energies and forces, scaled by the level."""
    made = []
    for atoms in frames:
        copy = atoms.copy()
        copy.calc = EMT()
        energy, force = copy.get_potential_energy(), copy.get_forces()
        copy.calc = None
        copy.info[f"{key}_energy"] = SCALE[level] * energy
        if forces:
            copy.arrays[f"{key}_forces"] = SCALE[level] * force
        made.append(copy)
    return made


@pytest.fixture
def put(tmp_path: Path):
    def put(name: str, frames: Sequence[Atoms]) -> Path:
        write(tmp_path / name, list(frames), format="extxyz")
        return tmp_path / name

    return put


def named(frames: Sequence[Atoms], start: str) -> Sequence[Atoms]:
    for number, atoms in enumerate(frames):
        atoms.info["structure_id"] = f"{start}{number}"
    return frames


# ---- own test frames


def test_own_test_frames_are_the_test_and_the_rest_is_to_learn_from(put) -> None:
    task = UserTask(
        put("low.xyz", labelled(geometries(30, 0), "low")),
        put("high.xyz", labelled(geometries(30, 1), "high")),
        test=[put("test.xyz", labelled(geometries(10, 2), "high"))],
    )
    for draw in range(3):
        split = task.split(task.default_regime, draw)
        assert list(split.tests) == ["test.xyz"]
        assert len(split.tests["test.xyz"]) == 10
        assert len(split.training.train["high"]) + len(split.training.validation) == 30
        assert len(split.training.train["low"]) == 30
    assert "test.xyz" in held_out(task, pool_sizes({}, task, 1))
    assert set(task.data_hashes()) == {"low", "high", "test"}


def test_isolated_atoms_are_named_beside_the_frames_that_are_split(put) -> None:
    frames = labelled(geometries(30, 1), "high")
    alone = [Atoms(symbol, info={"REF_energy": -10.0}) for symbol in sorted(set(frames[0].symbols))]
    options = {"high": str(put("high.xyz", [*alone, *frames]))}
    task = UserTask(**options)
    pools = pool_sizes(options, task, 2)
    said = held_out(task, pools)
    assert "Of 30 HF frames" in said
    assert said.endswith(f"to train on, {len(alone)} isolated atoms among them.")
    assert task.n_test + pools.validation[0] + pools.training[0] == 30 + len(alone)


def test_several_test_files_are_scored_apart(put) -> None:
    frames = labelled(geometries(12, 2), "high")
    task = UserTask(
        high=put("high.xyz", labelled(geometries(30, 1), "high")),
        test=[put("hot.xyz", frames[:8]), put("cold.xyz", frames[8:])],
    )
    tests = task.split(task.default_regime, 0).tests
    assert {name: len(found) for name, found in tests.items()} == {"hot.xyz": 8, "cold.xyz": 4}
    energies = [energy_of(a, "high") for a in (*tests["hot.xyz"], *tests["cold.xyz"])]
    assert energies == pytest.approx([a.info["REF_energy"] for a in frames])


def nearly(atoms: Atoms) -> Atoms:
    """A turned, slightly displaced copy."""
    copy = atoms.copy()
    copy.rotate(50, (1, 2, 3))
    copy.positions += np.random.default_rng(9).normal(scale=0.002, size=copy.positions.shape)
    return copy


def test_training_frames_that_are_test_frames_are_refused_by_name(put) -> None:
    high, test = geometries(30, 1), geometries(10, 2)
    leaky = named(labelled([*high, nearly(test[4]), test[7]], "high"), "mine")
    files = {"low": put("low.xyz", labelled(geometries(30, 0), "low")), "high": put("high.xyz", leaky)}
    own = put("test.xyz", named(labelled(test, "high"), "theirs"))
    with pytest.raises(LeakageError) as refused:
        UserTask(**files, test=[own])
    for word in ("2 of the frames", "'mine30' is test frame 'theirs4'", "'mine31' is test frame 'theirs7'", "test.xyz"):
        assert word in str(refused.value)


def test_training_frames_in_a_group_of_the_test_are_refused(put) -> None:
    high, test = labelled(geometries(30, 1), "high"), labelled(geometries(10, 2), "high")
    for number, atoms in enumerate([*high, *test]):
        atoms.info["trajectory"] = f"run{number // 4}"  # run7 has the last two of one and the first two of the other
    files = {"high": put("high.xyz", high), "test": [put("test.xyz", test)]}
    with pytest.raises(LeakageError, match=r"2 of the frames with 'high' labels.*in groups of test frames.*run7"):
        UserTask(**files)
    UserTask(**files, reading={"group_key": "none"})


def test_low_frames_that_are_test_frames_or_near_are_left_out_and_named(put) -> None:
    low, high, test = geometries(30, 0), geometries(30, 1), geometries(10, 2)
    lows = named(labelled([*low, nearly(test[3]), test[5], test[6]], "low"), "cheap")
    for number, atoms in enumerate(lows):
        atoms.info["group"] = "together" if number in (0, 1) else f"cheap{number}"
    tests = named(labelled(test, "high"), "theirs")
    for number, atoms in enumerate(tests):
        atoms.info["group"] = "together" if number == 0 else f"theirs{number}"
    task = UserTask(put("low.xyz", lows), put("high.xyz", labelled(high, "high")), test=[put("test.xyz", tests)])
    said = " ".join(task.notes)
    assert "3 of 33 'low' frames are not trained on, being copies of test frames" in said
    assert "'cheap30' is 'theirs3'" in said
    assert "2 of 33 'low' frames are not trained on, being in groups of test frames: together" in said
    learned = {id_of(a) for a in task.split(task.default_regime, 0).training.train["low"]}
    assert learned == {f"cheap{number}" for number in range(2, 30)}


def test_test_frames_of_another_file_with_the_same_names_are_no_copies(put, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    task = UserTask(
        high=put("high.xyz", labelled(geometries(30, 1), "high")),
        test=[put("other/high.xyz", labelled(geometries(10, 2), "high"))],
    )
    frames = task.load()
    assert len({id_of(a) for a in frames}) == 40
    assert len({group_of(a) for a in frames}) == 40


def test_a_test_frame_without_a_label_of_the_target_is_refused(put) -> None:
    test = labelled(geometries(10, 2), "high")
    del test[6].info["REF_energy"]
    files = {"high": put("high.xyz", labelled(geometries(30, 1), "high")), "test": [put("test.xyz", test)]}
    with pytest.raises(DataError, match=r"test\.xyz, frame 6, key 'high_energy': 1 of 10 test frames"):
        UserTask(**files)


def test_a_test_frame_with_an_element_to_learn_from_nowhere_is_refused(put) -> None:
    test = labelled(geometries(10, 2), "high")
    test[6].numbers[0] = 7
    files = {"high": put("high.xyz", labelled(geometries(30, 1), "high")), "test": [put("test.xyz", test)]}
    with pytest.raises(DataError, match=r"test\.xyz: test frame '.*6' has N, which no frame to train on has"):
        UserTask(**files)


def test_test_files_are_read_as_the_target_is(put) -> None:
    high = labelled(geometries(30, 1), "high", key="dear")
    test = labelled(geometries(10, 2), "high", key="other")
    task = UserTask(high=put("high.xyz", high), test=[put("test.xyz", test)])
    assert task.high == "dear"
    assert "the labels of 'other' are those of 'dear'" in " ".join(task.notes)
    for atoms in test:
        atoms.info["E_odd"] = atoms.info["other_energy"] + 1.0
    keys = {"test": {"energy": "E_odd", "forces": "other_forces"}}
    task = UserTask(high=put("high.xyz", high), test=[put("test.xyz", test)], reading={"keys": keys})
    found = task.split(task.default_regime, 0).tests["test.xyz"]
    assert energy_of(found[0], "dear") == pytest.approx(test[0].info["other_energy"] + 1.0)


def test_a_test_without_forces_is_said(put) -> None:
    test = labelled(geometries(10, 2), "high", forces=False)
    task = UserTask(high=put("high.xyz", labelled(geometries(30, 1), "high")), test=[put("test.xyz", test)])
    assert task.default_regime.labels == "high=EF"
    assert "10 of 10 test frames have no forces: arms are compared by energies" in task.notes


def test_names_of_test_files_are_made_distinct_with_their_groups() -> None:
    class File:
        def __init__(self, *names: str) -> None:
            self.frames = [Atoms("H", info={"structure_id": name, "group": name}) for name in names]

    known, test = File("a", "b"), File("b", "c")
    make_distinct([test], [known])  # type: ignore[list-item]
    assert [(id_of(a), group_of(a)) for a in test.frames] == [("test:b", "test:b"), ("test:c", "test:c")]


# ---- levels


@pytest.fixture
def levels(put) -> list[tuple[str, Path]]:
    """Three levels; a geometry of the target is in all of them, with another key in each."""
    shared = geometries(6, 3)
    return [
        ("low", put("a.xyz", labelled([*geometries(20, 0), *shared], "low", key="pbe"))),
        ("mid", put("b.xyz", labelled([*geometries(15, 1), *shared], "mid", key="REF", forces=False))),
        ("high", put("c.xyz", labelled([*geometries(24, 2), *shared], "high", key="cc"))),
    ]


def test_levels_keep_their_names_and_their_order(levels) -> None:
    task = UserTask(levels=levels)
    assert task.fidelities == ("low", "mid", "high")
    assert len(task.frames) == 20 + 15 + 24 + 6
    assert task.default_regime.labels == "low=EF,mid=E,high=EF"
    regime = task.default_regime
    assert {name: str(labels) for name, labels in regime.label_sets(task.fidelities).items()} == {
        "low": "EF",
        "mid": "E",
        "high": "EF",
    }
    shared = [a for a in task.frames if all(has_label(a, name, Label.ENERGY) for name in task.fidelities)]
    assert len(shared) == 6
    for atoms in shared:
        for level in ("mid", "high"):
            assert energy_of(atoms, level) == pytest.approx(SCALE[level] * energy_of(atoms, "low"), abs=1e-5)
        assert forces_of(atoms, "high") == pytest.approx(1.5 * forces_of(atoms, "low"), abs=1e-5)
    split = task.split(regime, 0)
    assert set(split.training.train) == {"low", "mid", "high"}


def test_arms_that_learn_from_one_lf_level_are_left_out_with_three(levels) -> None:
    arms, left_out = comparable_arms(UserTask(levels=levels))
    assert {"single_fidelity", "multi_fidelity", "multi_head", "transfer"} <= set(arms)
    for arm in ("low_fidelity", "delta_model"):
        assert "one LF level" in left_out[arm]


def test_the_order_of_levels_is_the_order_that_was_given(levels) -> None:
    task = UserTask(levels=[levels[1], ("top", levels[0][1])])
    assert task.fidelities == ("mid", "top")
    assert task.default_regime.labels == "low=E,high=EF"


@pytest.mark.parametrize(
    ("low", "high", "given", "told"),
    [
        ("a.xyz", None, [("x", "b.xyz")], "in place of --low, --high"),
        (None, "a.xyz", [("x", "b.xyz")], "in place of --low, --high"),
        (None, None, [], "no file of HF frames"),
        ("a.xyz", None, [], "no file of HF frames"),
        (None, None, [("x", "a.xyz"), ("x", "b.xyz")], "two files have this name"),
        (None, None, [("a b", "a.xyz"), ("x", "b.xyz")], "'a b' is no name"),
        (None, None, [("delta", "a.xyz"), ("x", "b.xyz")], "'delta' is no name"),
        (None, None, [("high", "a.xyz"), ("x", "b.xyz")], "cheapest first and the target last"),
        (None, None, [("x", "a.xyz"), ("low", "b.xyz")], "cheapest first and the target last"),
    ],
)
def test_files_that_are_named_in_two_ways_or_none_are_refused(low, high, given, told) -> None:
    with pytest.raises(ConfigError, match=told):
        sources_of(low, high, None, None, given)


def test_a_level_with_several_sources_asks_for_its_key(put) -> None:
    frames = labelled(geometries(20, 0), "low", key="pbe")
    for atoms in frames:
        atoms.info["scan_energy"] = atoms.info["pbe_energy"] + 1.0
        atoms.arrays["scan_forces"] = atoms.arrays["pbe_forces"]
    both, high = put("both.xyz", frames), put("high.xyz", labelled(geometries(20, 1), "high"))
    with pytest.raises(DataError, match=r"both\.xyz.*which labels are the dft fidelity.*--energy-key dft=KEY"):
        UserTask(levels=[("dft", both), ("cc", high)])
    assert UserTask(levels=[("scan", both), ("cc", high)]).fidelities == ("scan", "cc")
    keys = {"dft": {"energy": "scan_energy", "forces": "scan_forces"}}
    task = UserTask(levels=[("dft", both), ("cc", high)], reading={"keys": keys})
    first = next(a for a in task.frames if has_label(a, "dft", Label.ENERGY))
    assert energy_of(first, "dft") == pytest.approx(frames[0].info["scan_energy"])


# ---- numbers of HF frames, and none of LF


def test_high_subsets_of_a_draw_are_nested_and_held_out_frames_the_same(put) -> None:
    options = {"low": str(put("low.xyz", labelled(geometries(20, 0), "low")))}
    options["high"] = str(put("high.xyz", labelled(geometries(60, 1), "high")))
    task = UserTask(**options)
    arms, _ = comparable_arms(task, (5, 12, 30))
    assert "single_fidelity_all" in arms
    assert "single_fidelity_all" in comparable_arms(task, (5, "all"))[1]
    specs = comparison(
        options,
        task=task,
        arms=["single_fidelity", "transfer", "single_fidelity_all"],
        budgets=[1000.0],
        seeds=1,
        draws=2,
        settings={arm: {} for arm in arms},
        sizes=(5, 12, 30),
    )
    assert len(specs) == 2 * (2 * 3 + 1)
    assert len({repr(spec.cell()) for spec in specs}) == len(specs)
    for draw in range(2):
        splits = [task.split(s.regime, draw) for s in specs if s.arm == "transfer" and s.draw == draw]
        sets = [{id_of(a) for a in split.training.train["high"]} for split in splits]
        assert [len(names) for names in sets] == [5, 12, 30]
        assert sets[0] < sets[1] < sets[2]
        held = {(tuple(map(id_of, s.training.validation)), tuple(map(id_of, s.tests["in_coverage"]))) for s in splits}
        assert len(held) == 1
    draws = [{id_of(a) for a in task.split(specs[0].regime, draw).training.train["high"]} for draw in range(2)]
    assert draws[0] != draws[1]


def test_more_high_frames_than_there_are_is_one_sentence_with_their_number(put) -> None:
    options = {"high": str(put("high.xyz", labelled(geometries(40, 1), "high")))}
    task = UserTask(**options)
    pools = pool_sizes(options, task, 2)
    assert pools.training == (26, 26)
    check_sizes((10, 26, "all"), pools, task)
    with pytest.raises(
        ConfigError,
        match=r"--n-high 27: there are 26 HF frames to train on\. Of 40 HF frames.*8 are the test.*6 select",
    ):
        check_sizes((10, 27), pools, task)


def test_without_low_frames_only_arms_that_need_none_are_left(put) -> None:
    task = UserTask(high=put("high.xyz", labelled(geometries(40, 1), "high")))
    assert task.fidelities == ("high",)
    arms, left_out = comparable_arms(task)
    assert arms == ["single_fidelity"]
    assert "there are none: give --low FILE" in left_out["transfer"]
    split = task.split(task.default_regime, 0)
    assert set(split.training.train) == {"high"}
