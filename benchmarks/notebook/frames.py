"""Frames in memory as files: runs are computed by other processes, and are known by the contents of files."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from pathlib import Path

from ase import Atoms
from ase.io import write

from mfbench.mfcore.errors import DataError
from mfbench.mfcore.files import make_folder, write_text

Frames = str | Path | Sequence[Atoms]
"""A file of frames, or the frames themselves."""


def text_of(frames: Sequence[Atoms], role: str) -> str:
    """Write frames as extended XYZ, as ASE does: positions and forces with eight decimals, labels by their keys.

    Parameters
    ----------
    frames
        With labels in `info` and `arrays`, or in a calculator that holds results, as `ase.io.read` gives them.
    role
        Of the frames, which errors name.

    Raises
    ------
    DataError
        If there are none, or something is no `ase.Atoms`, or cannot be written.
    """
    if odd := [index for index, atoms in enumerate(frames) if not isinstance(atoms, Atoms)]:
        kind = type(frames[odd[0]]).__name__
        raise DataError(f"found {kind}; expected ase.Atoms, or the name of a file.", file=role, frame=odd[0])
    if not frames:
        raise DataError("the list has no frame; expected ase.Atoms.", file=role)
    text = io.StringIO()
    try:
        write(text, list(frames), format="extxyz")
    except Exception as error:  # ASE raises whatever its steps do: all of it means "cannot be written"
        raise DataError(f"ASE cannot write the frames as extended XYZ ({error}).", file=role) from error
    return text.getvalue()


class FramesFolder:
    """Files of frames that are given as such; a list is written into a folder, under a name made of its contents.

    Parameters
    ----------
    folder
        Made when there is something to write.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def path(self, frames: Frames | None, role: str) -> Path | None:
        """Return the file of some frames; None for None.

        Raises
        ------
        DataError
            If they cannot be written as extended XYZ.
        """
        if frames is None or isinstance(frames, str | Path):
            return None if frames is None else Path(frames)
        text = text_of(frames, role)
        file = self._folder / file_name(text, role)
        if not file.exists():
            make_folder(self._folder)
            write_text(file, text)
        return file


def file_name(text: str, role: str) -> str:
    """Name the file of some frames by their role and contents."""
    return f"{role}-{hashlib.sha256(text.encode()).hexdigest()[:12]}.xyz"
