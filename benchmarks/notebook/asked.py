"""Arguments of `mfbench.compare` and `mfbench.fit`, as the options of the commands of the same name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mfbench.benchmarks.notebook.frames import Frames, FramesFolder
from mfbench.benchmarks.user.options import reading_of, roles_of, task_options
from mfbench.benchmarks.user.settings_file import read_settings

Keys = str | Mapping[str, str] | None
"""Key of a label: one for all files, or by role (low, high, test, or the name of a level)."""


def listed(value: Any) -> list[Any]:
    """Return one thing, or several, as a list; None is no thing."""
    if value is None:
        return []
    return list(value) if isinstance(value, Iterable) and not isinstance(value, str) else [value]


def options_of(
    folder: FramesFolder,
    *,
    low: Frames | None,
    high: Frames | None,
    levels: Mapping[str, Frames] | None,
    low_name: str | None,
    high_name: str | None,
    energy_key: Keys,
    forces_key: Keys,
    stress_key: Keys,
    group_key: str | None,
    block: int | None,
    test: Sequence[Path] | None = None,
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return what the task of a user's files is made with, and the roles that keys and costs are given to.

    Raises
    ------
    ConfigError
        If frames are named in two ways, or a key is for frames that are not read.
    DataError
        If frames in memory cannot be written.
    """
    level = [f"{name}={folder.path(frames, name)}" for name, frames in (levels or {}).items()] or None
    roles = roles_of(level)
    keys = (_keys(energy_key), _keys(forces_key), _keys(stress_key))
    reading = reading_of(*keys, group_key, block, roles, () if test is None else ("test",))
    files = folder.path(low, "low"), folder.path(high, "high")
    return task_options(*files, low_name, high_name, level, reading, test), roles


def _keys(given: Keys) -> list[str]:
    if isinstance(given, Mapping):
        return [f"{role}={key}" for role, key in given.items()]
    return listed(given)


def settings_of(settings: Mapping[str, Any] | str | Path | None) -> tuple[dict[str, Any], Path | None]:
    """Return settings and the file that they are from, if they are from one.

    Raises
    ------
    ConfigError
        If a file cannot be read.
    """
    if settings is None or isinstance(settings, Mapping):
        return dict(settings or {}), None
    return read_settings(Path(settings)), Path(settings)


def stem_of(high: Frames | None, levels: Mapping[str, Frames] | None) -> str:
    """Name runs by the frames of the target: by their file, or "frames" for those in memory."""
    target = list(levels.values())[-1] if levels else high
    return Path(target).stem if isinstance(target, str | Path) else "frames"
