"""Frames in memory as files: runs are computed by other processes, and are known by the contents of files."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ase.io import write

from mfbench.mfcore.data.structures import as_frames
from mfbench.mfcore.errors import DataError
from mfbench.mfcore.files import make_folder, write_text

Frames = str | Path | Sequence[Any]
"""A file of frames, or the frames themselves: `ase.Atoms`, or structures or computed entries of pymatgen."""


def text_of(frames: Sequence[Any], role: str) -> str:
    """Write frames as extended XYZ, as ASE does: positions and forces with eight decimals, labels by their keys.

    Parameters
    ----------
    frames
        With labels in `info` and `arrays`, or in a calculator that holds results, as `ase.io.read` gives them; of
        pymatgen, see :func:`mfbench.mfcore.data.structures.atoms_of`.
    role
        Of the frames, which errors name.

    Raises
    ------
    DataError
        If there are none, or something is none of these, or cannot be written.
    """
    given = as_frames(frames, role)
    if not given:
        raise DataError("the list has no frame; expected ase.Atoms.", file=role)
    text = io.StringIO()
    try:
        write(text, given, format="extxyz")
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
