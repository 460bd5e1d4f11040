"""Splits: whole groups, nested subsets, LF subsets that depend on the draw alone."""

import pytest
from ase import Atoms

from mfbench.mfcore.data.splits import (
    elements_first,
    group_of,
    groups_of,
    id_of,
    ids_hash,
    low_order,
    nested_order,
    split_groups,
    unite_groups,
)
from mfbench.mfcore.errors import ConfigError


def make(n_groups: int = 8, n_each: int = 5, symbol: str = "H") -> list[Atoms]:
    return [
        Atoms(symbol, info={"structure_id": f"{symbol}{g}-{i}", "group": f"{symbol}{g}"})
        for g in range(n_groups)
        for i in range(n_each)
    ]


def ids(frames):
    return [id_of(a) for a in frames]


@pytest.mark.parametrize("draw", range(4))
def test_groups_stay_whole_and_parts_are_disjoint_and_complete(draw):
    frames = make()
    parts, rest = split_groups(frames, {"test": 10, "validation": 5}, seed=1, draw=draw)
    together = [*parts["test"], *parts["validation"], *rest]
    assert sorted(ids(together)) == sorted(ids(frames))
    held = [set(groups_of(p)) for p in (*parts.values(), rest)]
    assert sum(len(h) for h in held) == len(set.union(*held))
    assert (len(parts["test"]), len(parts["validation"]), len(rest)) == (10, 5, 25)
    again, _ = split_groups(frames, {"test": 10, "validation": 5}, seed=1, draw=draw)
    assert ids(again["test"]) == ids(parts["test"])


def test_draws_differ():
    tests = {tuple(ids(split_groups(make(), {"t": 10}, seed=1, draw=d)[0]["t"])) for d in range(10)}
    assert len(tests) > 5


def test_a_giant_group_is_left_for_training():
    frames = make(1, 60, "C") + make(20, 1)
    for draw in range(10):
        parts, rest = split_groups(frames, {"test": 8, "validation": 4}, seed=0, draw=draw)
        assert (len(parts["test"]), len(parts["validation"])) == (8, 4)
        assert "C0" in groups_of(rest)


def test_too_few_groups_are_refused():
    with pytest.raises(ConfigError, match="too few groups"):
        split_groups(make(2, 5), {"test": 5, "validation": 5}, seed=0)


def test_nested_order_is_a_permutation_balanced_over_groups():
    frames = make()
    order = nested_order(frames, seed=3, draw=1)
    assert sorted(ids(order)) == sorted(ids(frames))
    for n in (8, 16, 24):
        counts = [sum(group_of(a) == g for a in order[:n]) for g in groups_of(frames)]
        assert set(counts) == {n // 8}
    assert ids(order) == ids(nested_order(frames, seed=3, draw=1))
    assert ids(order) != ids(nested_order(frames, seed=3, draw=2))


def test_elements_first_covers_all_elements_at_once():
    frames = make(3, 3, "H") + make(1, 2, "O") + make(1, 2, "C")
    order = elements_first(frames)
    assert [a.symbols[0] for a in order[:3]] == ["H", "O", "C"]
    assert sorted(ids(order)) == sorted(ids(frames))


@pytest.mark.parametrize("draw", range(3))
def test_low_order_avoids_or_takes_high_frames_as_long_as_it_can(draw):
    low = make(8, 20)
    high = nested_order([a for i, a in enumerate(low) if i % 2], seed=5, draw=draw)
    disjoint = ids(low_order(low, high, paired=False, seed=5, draw=draw))
    assert sorted(disjoint) == sorted(ids(low))
    for n_low, n_high in ((80, 40), (100, 40), (120, 40)):
        assert not set(disjoint[:n_low]) & set(ids(high[:n_high]))
    paired = ids(low_order(low, high, paired=True, seed=5, draw=draw))
    for n_low, n_high in ((16, 16), (80, 40), (80, 80)):
        assert set(ids(high[:n_high])) <= set(paired[:n_low])


def test_united_groups_are_the_connected_ones():
    frames = make(6, 1)
    assert unite_groups(frames, []) == ["H0", "H1", "H2", "H3", "H4", "H5"]
    assert unite_groups(frames, [(0, 3), (3, 5), (1, 2)]) == ["H0", "H1", "H1", "H0", "H4", "H0"]


def test_hash_ignores_order_and_sees_each_id():
    frames = make()
    assert ids_hash(frames) == ids_hash(frames[::-1])
    assert ids_hash(frames) != ids_hash(frames[:-1])
