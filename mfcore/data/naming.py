"""Names and groups of the frames of a file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ase import Atoms

from mfbench.mfcore.errors import DataError

#: Keys that name the group of a frame, best first.
GROUP_KEYS = ("group", "group_id", "molecule", "trajectory")

#: Value of the option that makes each frame its own group.
NO_GROUP = "none"
_LEAST_CONFIG_TYPES = 3  # fewer could not be split into training, validation and test
_ISOLATED = ("isolatedatom", "isolated", "singleatom", "freeatom")


def name_frames(frames: Sequence[Atoms], path: Path, group_key: str | None = None) -> list[str]:
    """Give every frame a structure_id and a group (both str), in place, and say where groups that matter are from.

    Raises
    ------
    DataError
        If two frames have one structure_id, or no frame has `group_key`.
    """
    keys, notes = _group_keys(frames, path, group_key)
    seen: dict[str, int] = {}
    for index, atoms in enumerate(frames):
        name = str(atoms.info.get("structure_id", f"{path.stem.removesuffix('.xyz')}-{index:05d}"))
        if name in seen:
            raise DataError(
                f"'{name}' is also the name of frame {seen[name]}; expected a different one for each frame.",
                file=path,
                frame=index,
                key="structure_id",
            )
        seen[name] = index
        group = next((str(atoms.info[k]) for k in keys if k in atoms.info), name)
        atoms.info.update(structure_id=name, group=group)
    return notes


def is_named_isolated(atoms: Atoms) -> bool:
    """Tell if the config_type of a frame says that it is an isolated atom."""
    kind = str(atoms.info.get("config_type", "")).lower().replace("_", "").replace("-", "").replace(" ", "")
    return kind in _ISOLATED


def _group_keys(frames: Sequence[Atoms], path: Path, group_key: str | None) -> tuple[tuple[str, ...], list[str]]:
    if group_key == NO_GROUP:
        return (), []
    if group_key is not None:
        having = sum(group_key in a.info for a in frames)
        if not having:
            known = sorted({str(k) for a in frames for k in a.info})
            raise DataError(f"no frame has this key; there are {', '.join(known) or 'none'}.", file=path, key=group_key)
        left = (
            f"; the {len(frames) - having} frames without it are groups by themselves" if having < len(frames) else ""
        )
        return (group_key,), [f"groups are the values of '{group_key}'{left}"]
    kinds = [str(a.info["config_type"]) for a in frames if "config_type" in a.info and not is_named_isolated(a)]
    grouped = any(k in a.info for a in frames for k in GROUP_KEYS)
    if grouped or not kinds:
        return GROUP_KEYS, []
    different = list(dict.fromkeys(kinds))
    listed = ", ".join(different[:6]) + (" ..." if len(different) > 6 else "")
    if len(different) >= _LEAST_CONFIG_TYPES:
        how = "--group-key none makes each frame its own group, --group-key KEY takes another key"
        return (*GROUP_KEYS, "config_type"), [f"groups are the values of 'config_type' ({listed}): {how}"]
    if len(different) < 2:
        return GROUP_KEYS, []
    why = f"'config_type' ({listed}) is not taken as group: it has fewer than {_LEAST_CONFIG_TYPES} values"
    return GROUP_KEYS, [f"{why} (--group-key config_type takes it)"]
