"""Checks of what a task gives: frames, pools and hashes, so that a fault is one sentence before anything is trained."""

from __future__ import annotations

import math
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar

from ase import Atoms

from mfbench.mfcore.data.frames import has_label, key_of
from mfbench.mfcore.errors import ConfigError, MfbenchError, StorageError
from mfbench.mfcore.fidelity import Label

T = TypeVar("T")


class Named(Protocol):
    """Names of a task that sentences and keys are made of."""

    name: str
    fidelities: tuple[str, ...]
    least_fidelities: int


def asked(task: Named, method: str, answer: Callable[[], T]) -> T:
    """Call a method of a task.

    Parameters
    ----------
    method
        As the error names it.

    Raises
    ------
    ConfigError
        If it raises what is no error that a user can act on.
    """
    try:
        return answer()
    except MfbenchError:
        raise
    except Exception as error:
        if StorageError.within(error) is not None:
            raise
        last = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{Path(last.filename).name}:{last.lineno}"
        raise ConfigError(f"task '{task.name}': {method} raised {type(error).__name__}: {error} ({where}).") from error


def check_frames(task: Named, frames: Any) -> list[Atoms]:
    """Give the frames of a task, if each has its names and no energy that is no number.

    Raises
    ------
    ConfigError
        Naming the task, the frame and the key.
    """
    if not isinstance(frames, Sequence) or not frames:
        raise ConfigError(f"task '{task.name}': load() gave {_found(frames)}; expected a list of ase.Atoms.")
    seen: dict[str, int] = {}
    for index, atoms in enumerate(frames):
        where = f"task '{task.name}', frame {index}"
        if not isinstance(atoms, Atoms):
            raise ConfigError(f"{where}: load() gave {_found(atoms)}; expected ase.Atoms.")
        for key in ("structure_id", "group"):
            if key not in atoms.info:
                raise ConfigError(f"{where}: no key '{key}' in its info; load() has to give every frame one.")
        name = str(atoms.info["structure_id"])
        if (other := seen.setdefault(name, index)) != index:
            raise ConfigError(
                f"{where}, key 'structure_id': '{name}' is the one of frame {other}, too; give each frame its own."
            )
        for fidelity in task.fidelities:
            key = key_of(fidelity, Label.ENERGY)
            if key in atoms.info and not _is_number(atoms.info[key]):
                raise ConfigError(
                    f"{where} ('{name}'), key '{key}': {atoms.info[key]!r}; expected a finite number in eV, or no such "
                    "key where there is no label."
                )
    return list(frames)


def check_fidelities(task: Named) -> None:
    """Raise ConfigError if a task has not `least_fidelities` of different names, or more."""
    names: Any = task.fidelities
    whole = isinstance(names, Sequence) and not isinstance(names, str) and all(isinstance(x, str) for x in names)
    if not whole or len(set(names)) < max(task.least_fidelities, len(names)):
        raise ConfigError(
            f"task '{task.name}', key 'fidelities': found {names!r}; expected two names or more, cheapest first, the "
            "target last."
        )


def check_pools(task: Named, pools: Any, kind: type[T]) -> T:
    """Give the pools of a task, if there are test frames, and these and those of validation have HF energies.

    Raises
    ------
    ConfigError
        Naming the task, the pool, the frame and the key.
    """
    if not isinstance(pools, kind):
        raise ConfigError(f"task '{task.name}': pools() gave {_found(pools)}; expected {kind.__name__}.")
    given: Any = pools
    high = task.fidelities[-1]
    if not isinstance(given.tests, Mapping) or not given.tests:
        raise ConfigError(
            f"task '{task.name}': the tests of pools() are {_found(given.tests)}; expected frames by split name."
        )
    for split, frames in given.tests.items():
        if not len(frames):
            raise ConfigError(f"task '{task.name}': pools() gave no frame for the test split '{split}'.")
    for part, frames in {"validation": given.validation, **given.tests}.items():
        for atoms in frames:
            if not has_label(atoms, high, Label.ENERGY):
                raise ConfigError(
                    f"task '{task.name}', frame '{atoms.info.get('structure_id')}' of '{part}': no energy under key "
                    f"'{key_of(high, Label.ENERGY)}'; frames of validation and tests need one."
                )
    return pools


def check_hashes(task: Named, found: Any) -> dict[str, str]:
    """Give the sha256 of the data files of a task.

    Raises
    ------
    ConfigError
        If the task gives anything but text by text.
    """
    if not isinstance(found, Mapping) or not all(isinstance(text, str) for item in found.items() for text in item):
        raise ConfigError(
            f"task '{task.name}': data_hashes() gave {_found(found)}; expected the sha256 of each file by its name."
        )
    return dict(found)


def _is_number(value: Any) -> bool:
    try:
        return math.isfinite(float(value))
    except (TypeError, ValueError):
        return False


def _found(value: Any) -> str:
    if value is None:
        return "None"
    empty = hasattr(value, "__len__") and not len(value)
    return f"an empty {type(value).__name__}" if empty else f"{type(value).__name__} {str(value)[:60]}"
