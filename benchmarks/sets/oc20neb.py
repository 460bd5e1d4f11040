"""OC20NEB: 932 reaction paths on catalysts' surfaces, converged nudged elastic bands of RPBE.

B. Wander et al. (CatTSunami), arXiv:2405.02078, CC-BY-4.0. The archive has a trajectory of ASE for each band, of all
iterations: the last ten frames are the converged band, the first and the last of these its ends. A name such as
`desorption_id_83_2409_9_111-4_neb1.0.traj` says the kind of reaction, and whether its surface is in the domain of the
OC20 training set ("id") or not ("ood").
"""

from __future__ import annotations

import io
import os
import re
import tarfile
import warnings
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from mfbench.benchmarks.sets.files import PublicFile, found, obtain
from mfbench.benchmarks.tasks.fetch import DATA_VARIABLE
from mfbench.mfcore.errors import DataError

FILE = PublicFile(
    "oc20neb_dft_trajectories_04_23_24.tar.gz",
    "oc20neb",
    ("https://dl.fbaipublicfiles.com/opencatalystproject/data/oc20neb/oc20neb_dft_trajectories_04_23_24.tar.gz",),
    "1.5 GB",
    md5="52af34a93758c82fae951e52af445089",
)
FRAMES = 10
"""Of a band."""

_NAME = re.compile(r"(desorption|dissociation|transfer)_(id|ood)_.+\.traj")


@dataclass(frozen=True)
class Band:
    """A converged band.

    Attributes
    ----------
    name
        Of its trajectory.
    reaction, domain
        "desorption", "dissociation" or "transfer"; "id" or "ood".
    frames
        From one end to the other, without labels.
    energies_ev
        Of the reference, (n,).
    """

    name: str
    reaction: str
    domain: str
    frames: list[Atoms]
    energies_ev: NDArray[np.float64]

    @property
    def top(self) -> int:
        """Place of the transition state: the frame of highest reference energy."""
        return int(np.argmax(self.energies_ev))


def unpacked_folder() -> Path | None:
    """Return the user's folder of unpacked trajectories, `oc20neb` in $MFBENCH_DATA; None if there is none."""
    own = os.environ.get(DATA_VARIABLE)
    folder = Path(own) / FILE.folder if own else None
    return folder if folder is not None and next(folder.rglob("*.traj"), None) is not None else None


def source() -> Path:
    """Return the folder of unpacked trajectories, or else the archive.

    Raises
    ------
    DataError
        If neither is here.
    """
    return unpacked_folder() or obtain(FILE)


def is_here() -> bool:
    """Say whether there is a folder or an archive."""
    return unpacked_folder() is not None or found(FILE) is not None


def read_bands(path: Path, domain: str = "all") -> Iterator[Band]:
    """Read bands, one at a time.

    Parameters
    ----------
    path
        Folder or archive.
    domain
        "id", "ood", or "all".

    Raises
    ------
    DataError
        If something is damaged, a band is shorter than it should be or its atoms are not the same throughout, an
        energy is missing, or there is none of the domain.
    """
    number = 0
    for name, stream in _trajectories(path):
        match = _NAME.fullmatch(name)
        if match is None or domain not in ("all", match.group(2)):
            continue
        number += 1
        yield _band(name, match.group(1), match.group(2), stream, path)
    if not number:
        raise DataError(
            f"there is no trajectory of {'a band' if domain == 'all' else f'the domain {domain}'} in it, such as "
            "desorption_ood_87_9841_0_111-1_neb1.0.traj.",
            file=path,
        )


def _trajectories(path: Path) -> Iterator[tuple[str, BinaryIO]]:
    if path.is_dir():
        for file in sorted(path.rglob("*.traj"), key=lambda p: p.name):
            with file.open("rb") as stream:
                yield file.name, stream
        return
    try:
        with tarfile.open(path, "r|*") as archive:
            for member in archive:
                inner = archive.extractfile(member) if member.isfile() else None
                if inner is not None and _NAME.fullmatch(Path(member.name).name):
                    yield Path(member.name).name, io.BytesIO(inner.read())
    except (tarfile.TarError, EOFError, zlib.error, OSError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DataError(f"the archive is damaged ({reason}).", file=path, hint="Get it again.") from None


def _band(name: str, reaction: str, domain: str, stream: BinaryIO, path: Path) -> Band:
    from ase.io import read

    where = path / name if path.is_dir() else f"{path}: {name}"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            content: Any = read(stream, slice(-FRAMES, None), format="traj")
            energies = np.array([atoms.get_potential_energy() for atoms in content], dtype=np.float64)
    except Exception as error:  # ASE raises whatever its steps do: all of it means "damaged", or no energy
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise DataError(f"no trajectory with energies ({reason[:160]}).", file=where) from None
    if len(content) != FRAMES or not np.isfinite(energies).all():
        raise DataError(f"{len(content)} frames with energies; expected the {FRAMES} of a band.", file=where)
    frames = [Atoms(a.numbers, positions=a.positions, cell=a.cell, pbc=a.pbc) for a in content]
    if any(a.numbers.tolist() != frames[0].numbers.tolist() for a in frames):
        raise DataError("the frames of the band have different atoms.", file=where)
    return Band(name.removesuffix(".traj"), reaction, domain, frames, energies)
