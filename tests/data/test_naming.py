"""Groups of frames: by the key that is there or asked for, and said where they are guessed."""

from pathlib import Path

import pytest
from ase import Atoms

from mfbench.mfcore.data.naming import is_named_isolated, name_frames
from mfbench.mfcore.errors import DataError

FILE = Path("run.xyz")


def frames(kinds: str, key: str = "config_type") -> list[Atoms]:
    return [Atoms("H", info={key: kind}) for kind in kinds]


def test_config_type_is_taken_or_refused_and_said_either_way() -> None:
    three = frames("aabbc")
    (note,) = name_frames(three, FILE)
    assert "groups are the values of 'config_type' (a, b, c)" in note
    assert [a.info["group"] for a in three] == list("aabbc")
    three, two = frames("aabbc"), frames("aab")
    assert name_frames(three, FILE, "none") == []
    assert len({a.info["group"] for a in three}) == 5
    (note,) = name_frames(two, FILE)
    assert "is not taken as group" in note
    assert len({a.info["group"] for a in two}) == 3
    name_frames(two, FILE, "config_type")
    assert [a.info["group"] for a in two] == list("aab")
    assert name_frames(frames("aaa"), FILE) == []


def test_isolated_atoms_do_not_make_config_type_a_group() -> None:
    made = [*frames("ab"), Atoms("H", info={"config_type": "IsolatedAtom"})]
    name_frames(made, FILE)
    assert len({a.info["group"] for a in made}) == 3
    assert is_named_isolated(made[-1])
    assert not is_named_isolated(made[0])


def test_a_key_that_no_frame_has_is_refused() -> None:
    with pytest.raises(DataError, match="no frame has this key; there are config_type"):
        name_frames(frames("ab"), FILE, "molecule")
