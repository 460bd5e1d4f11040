"""Frames of one molecule at one level of theory, as NumPy archives of arrays."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path

import numpy as np

from mfbench.mfcore.errors import DataError


def read_npz(path: Path) -> dict[str, np.ndarray]:
    """Read one level: Z (B, n) atomic numbers, R (B, n, 3) Å, E (B,) eV, F (B, n, 3) eV/Å.

    Where the archive has N, the number of atoms, arrays that are padded to more atoms are cut.

    Raises
    ------
    DataError
        If the file is no NumPy archive, lacks an array, or an array has another shape or a number that is not
        finite; if frames have different atoms.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {key: archive[key] for key in ("Z", "R", "E", "F", "N") if key in archive}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(f"not a NumPy archive of plain arrays ({error}).", file=path) from None
    for key in ("Z", "R", "E", "F"):
        if key not in arrays:
            raise DataError("the array is missing.", file=path, key=key)
    if "N" in arrays:
        sizes = np.unique(arrays.pop("N"))
        if len(sizes) != 1:
            raise DataError(f"{len(sizes)} numbers of atoms, expected one molecule.", file=path, key="N")
        for key in ("Z", "R", "F"):
            arrays[key] = arrays[key][:, : int(sizes[0])]
    n_frames, n_atoms = arrays["Z"].shape[:2] if arrays["Z"].ndim == 2 else (0, 0)
    shapes = {"Z": (n_frames, n_atoms), "R": (n_frames, n_atoms, 3), "E": (n_frames,), "F": (n_frames, n_atoms, 3)}
    for key, shape in shapes.items():
        if arrays[key].shape != shape or n_frames == 0:
            raise DataError(f"shape {arrays[key].shape}, expected {shape}.", file=path, key=key)
        if not np.isfinite(arrays[key]).all():
            frame = int(np.argwhere(~np.isfinite(arrays[key]))[0][0])
            raise DataError("a number is not finite.", file=path, frame=frame, key=key)
    return arrays


def check_same_geometries(first: np.ndarray, second: np.ndarray, path: Path, tolerance: float) -> None:
    """Refuse a file whose geometries are not those of another level.

    Parameters
    ----------
    first, second
        (B, n, 3) Å of the other level and of this file.
    tolerance
        Å, of each coordinate.

    Raises
    ------
    DataError
        Naming the file and the first frame.
    """
    if first.shape != second.shape:
        raise DataError(
            f"{len(second)} frames of {second.shape[1]} atoms, expected {len(first)} of {first.shape[1]} as in the "
            "other level.",
            file=path,
        )
    apart = np.abs(first - second).reshape(len(first), -1).max(axis=1)
    if (apart > tolerance).any():
        frame = int(np.argmax(apart > tolerance))
        raise DataError("the geometry differs from that of the other level.", file=path, frame=frame, key="R")
