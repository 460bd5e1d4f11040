"""Tasks whose data come with the package: frames and a dataset.yml that says what they must be."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from ase import Atoms

from mfbench.benchmarks.tasks.base import Task
from mfbench.mfcore.data.read import read_frames
from mfbench.mfcore.documents import read_yaml
from mfbench.mfcore.errors import DataError
from mfbench.mfcore.files import sha256_of


class EmbeddedTask(Task):
    """A task with its data in its own folder.

    Parameters
    ----------
    folder
        Where dataset.yml and the files that it names are; default: that of the module of the class.
    """

    embedded = True

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = self.home() if folder is None else Path(folder)

    @classmethod
    def home(cls) -> Path:
        """Folder of the module that the class is from."""
        import inspect

        return Path(inspect.getfile(cls)).parent

    @cached_property
    def card(self) -> dict[str, Any]:
        """The content of dataset.yml."""
        return read_yaml(self.folder / "dataset.yml")

    def load(self) -> list[Atoms]:
        """Return all frames.

        Raises
        ------
        DataError
            If a data file is not the one that dataset.yml describes.
        """
        return [atoms for path in self.described("files") for atoms in read_frames(path)]

    def data_hashes(self) -> dict[str, str]:
        """Return the sha256 of each data file."""
        return {name: sha256_of(self.folder / name) for name in self.card["files"]}

    def described(self, section: Literal["files", "geometries"]) -> list[Path]:
        """Return the files that a section of dataset.yml describes, of labels or of geometries without; each checked.

        Raises
        ------
        DataError
            If a file is missing or not the one that is described.
        """
        paths = []
        for name, facts in self.card.get(section, {}).items():
            path = self.folder / name
            found = sha256_of(path) if path.is_file() else "none (no such file)"
            if found != facts["sha256"]:
                raise DataError(
                    f"sha256 is {found}, dataset.yml has {facts['sha256']}.",
                    file=path,
                    hint="Install the package again, or convert the labels again.",
                )
            paths.append(path)
        return paths
