"""Choosing frames: whole groups for each purpose, and nested subsets, by seed and draw.

All functions are pure: the same frames in the same order, seed and draw give the same answer. The order of
the frames is that of the data file; a draw varies which frames are taken, never which labels they have.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from ase import Atoms
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from mfbench.mfcore.errors import ConfigError

SPLIT_RULE = "2"
"""Name of the rule that frames are chosen by; a change that gives another choice for the same draw gets another name.

In "1" LF frames kept off those that HF may take only after groups had taken turns.
"""

_MOST_OVER = 1.5  # times the size asked for


def id_of(atoms: Atoms) -> str:
    """Return the structure_id of a frame."""
    return str(atoms.info["structure_id"])


def group_of(atoms: Atoms) -> str:
    """Return the group of a frame."""
    return str(atoms.info["group"])


def groups_of(frames: Iterable[Atoms]) -> list[str]:
    """Return the different groups of some frames, in order of first appearance."""
    return list(dict.fromkeys(group_of(a) for a in frames))


def in_groups(frames: Iterable[Atoms], groups: Iterable[str]) -> list[Atoms]:
    """Return the frames that belong to any of some groups, in their order."""
    wanted = set(groups)
    return [a for a in frames if group_of(a) in wanted]


def ids_hash(frames: Iterable[Atoms]) -> str:
    """Return the sha256 of the structure_ids, independent of their order."""
    return hashlib.sha256("\n".join(sorted(id_of(a) for a in frames)).encode()).hexdigest()


def split_groups(
    frames: Sequence[Atoms], sizes: Mapping[str, int], *, seed: int, draw: int = 0
) -> tuple[dict[str, list[Atoms]], list[Atoms]]:
    """Take whole groups, at random, until each part has at least as many frames as asked for.

    Parameters
    ----------
    frames
        Frames with `info["group"]`.
    sizes
        Name of a part and its least number of frames, filled in this order.
    seed, draw
        Of `numpy.random.default_rng([seed, draw])`.

    Returns
    -------
    parts, rest
        Frames of each part, and the frames of the groups that no part took, all in their given order.

    Raises
    ------
    ConfigError
        If no group would be left over.
    """
    names = groups_of(frames)
    counts: dict[str, int] = defaultdict(int)
    for atoms in frames:
        counts[group_of(atoms)] += 1
    order = [names[i] for i in np.random.default_rng([seed, draw]).permutation(len(names))]
    parts: dict[str, list[Atoms]] = {}
    for part, size in sizes.items():
        taken: list[str] = []
        n_frames = 0
        for name in order:  # a large group goes here only if small ones do not do
            if n_frames < size and n_frames + counts[name] <= _MOST_OVER * size:
                taken.append(name)
                n_frames += counts[name]
        order = [name for name in order if name not in taken]
        while n_frames < size and order:
            taken.append(min(order, key=lambda name: counts[name]))
            order.remove(taken[-1])
            n_frames += counts[taken[-1]]
        if n_frames < size or not order:
            wanted = " and ".join(f"{n} {name}" for name, n in sizes.items())
            groups = f"{len(names)} group{'s' * (len(names) != 1)}"
            raise ConfigError(
                f"too few groups to hold out {wanted} frames and to leave one group to train on (here: {len(frames)} "
                f"frames in {groups}, less what was held out before). Give more groups, hold out fewer frames, or, if "
                "the frames of a group have nothing in common, split by frames (`--group-key none`)."
            )
        parts[part] = in_groups(frames, taken)
    return parts, in_groups(frames, order)


def nested_order(frames: Sequence[Atoms], *, seed: int, draw: int) -> list[Atoms]:
    """Put frames in an order whose first n are "the n frames of this draw", so that subsets are nested.

    The groups take turns, in random order, and so do the frames of a group: each subset is as even over the
    groups as its size allows.
    """
    rng = np.random.default_rng([seed, draw])
    queues: dict[str, list[Atoms]] = defaultdict(list)
    for index in rng.permutation(len(frames)):
        queues[group_of(frames[index])].append(frames[index])
    names = sorted(queues)
    return take_turns([queues[names[i]] for i in rng.permutation(len(names))])


def take_turns(queues: Sequence[Sequence[Atoms]]) -> list[Atoms]:
    """Merge queues: the first of each, then the second of each, and so on."""
    ranked = [(rank, turn, atoms) for turn, queue in enumerate(queues) for rank, atoms in enumerate(queue)]
    return [atoms for _, _, atoms in sorted(ranked, key=lambda item: item[:2])]


def elements_first(frames: Sequence[Atoms]) -> list[Atoms]:
    """Move frames with an element that no earlier one has to the front, keeping the order otherwise.

    The smallest subsets can then be trained on for every element that there is.
    """
    seen: set[int] = set()
    front: list[Atoms] = []
    rest: list[Atoms] = []
    for atoms in frames:
        new = set(atoms.numbers.tolist()) - seen
        (front if new else rest).append(atoms)
        seen |= new
    return front + rest


def low_order(
    frames: Sequence[Atoms], high_order: Sequence[Atoms], *, paired: bool, seed: int, draw: int
) -> list[Atoms]:
    """Put LF frames in an order whose first n are "the n LF frames of this draw", whatever n_high is.

    Frames that could become HF frames come last, the first HF choice at the very end (`paired` False: the two sets
    meet as late as possible), or first, in the order in which HF takes them (`paired` True). So the LF subset
    depends on the draw alone until the frames run out. The groups of the other frames take turns.

    Parameters
    ----------
    frames
        The frames with LF labels.
    high_order
        All frames that HF may take, in the order of this draw; may include frames that are not in `frames`.
    paired
        Whether HF geometries shall be LF frames too.
    """
    rank = {id_of(a): i for i, a in enumerate(high_order)}
    last = len(rank)

    def priority(atoms: Atoms) -> int:
        if paired:
            return rank.get(id_of(atoms), last)
        return last - rank.get(id_of(atoms), last)

    taken: dict[str, int] = defaultdict(int)
    ranked = []
    for position, atoms in enumerate(sorted(nested_order(frames, seed=seed, draw=draw), key=priority)):
        candidate = id_of(atoms) in rank
        turn = 0 if candidate else taken[group_of(atoms)]
        ranked.append((candidate != paired, turn, priority(atoms), position, atoms))
        taken[group_of(atoms)] += 1
    return [item[4] for item in sorted(ranked, key=lambda item: item[:4])]


def unite_groups(frames: Sequence[Atoms], pairs: Iterable[tuple[int, int]]) -> list[str]:
    """Return group names in which frames that are paired share one group, with all that they were grouped with.

    Parameters
    ----------
    frames
        Frames with `info["group"]`; unchanged.
    pairs
        Indices of frames that must not be separated, such as near-duplicates.

    Returns
    -------
    list of str
        A group for each frame: the first, in order of appearance, of the groups that were united.
    """
    names = groups_of(frames)
    number = {name: i for i, name in enumerate(names)}
    edges = np.array(
        [(number[group_of(frames[i])], number[group_of(frames[j])]) for i, j in pairs], dtype=np.int64
    ).reshape(-1, 2)
    graph = coo_array((np.ones(len(edges)), (edges[:, 0], edges[:, 1])), shape=(len(names), len(names)))
    _, component = connected_components(graph, directed=False)
    first = [names[int(np.flatnonzero(component == c)[0])] for c in component]
    return [first[number[group_of(a)]] for a in frames]
