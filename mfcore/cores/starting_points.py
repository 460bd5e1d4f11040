"""Checkpoints as people name them: a path or a name, and the part of it that a network starts from."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

from mfbench.mfcore.core_types import Checkpoint
from mfbench.mfcore.errors import ConfigError

HEADER = "potential.json"
"""The file of a potential's folder that holds the sums of all others."""


def found_checkpoint(text: str, core: str, named: Mapping[str, Path] | None = None) -> Checkpoint:
    """Find a checkpoint.

    Parameters
    ----------
    text
        Its path or one of the names, with `:PART` behind it where a part is meant: "SevenNet-MF-0:PBE".
    core
        Name of the core that asks.
    named
        Files by name; upper and lower case do not matter.

    Raises
    ------
    ConfigError
        Names what the core has.
    """
    known = {name.lower(): path for name, path in (named or {}).items()}
    whole = (text, "")
    before, colon, after = text.rpartition(":")
    for name, part in (whole, (before, after)) if colon and before and after else (whole,):
        path = known.get(name.lower(), Path(name))
        if path.exists():
            return Checkpoint(path, part)
    names = f"; it knows {', '.join(named)}" if named else ""
    raise ConfigError(f"core '{core}', key 'checkpoint': there is no file {text}{names}.")


def sha256_of_checkpoint(path: Path) -> str:
    """Return the hash (hex) of a checkpoint's file, or of the header of a potential's folder."""
    return hashlib.sha256((path / HEADER if path.is_dir() else path).read_bytes()).hexdigest()
