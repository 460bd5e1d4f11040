"""Data files that are not in the package: found in a folder of the user's, or downloaded once and kept."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from pathlib import Path

from mfbench.mfcore.errors import DataError
from mfbench.mfcore.files import sum_of

#: Environment variable naming a folder that is looked in before anything is downloaded.
DATA_VARIABLE = "MFBENCH_DATA"

logger = logging.getLogger("mfbench")


@dataclass(frozen=True)
class RemoteFile:
    """A public file that never changes.

    Attributes
    ----------
    name
        File name in the user's folder and in the cache.
    sha256
        Of the content, hexadecimal; "" where only another sum is known.
    urls
        Where to get it, tried in this order.
    md5
        Of the content, where its publisher lists this sum alone.
    """

    name: str
    sha256: str
    urls: tuple[str, ...]
    md5: str = ""

    @property
    def sum(self) -> tuple[str, str]:
        """Name of the sum that the content is checked by, and its value."""
        return ("sha256", self.sha256) if self.sha256 else ("md5", self.md5)


def cache_folder() -> Path:
    """Return the folder that downloads are kept in (per user, as the platform has it)."""
    import pooch

    return Path(pooch.os_cache("mfbench"))


def fetch(file: RemoteFile, subfolder: str) -> Path:
    """Return the path of a file whose content is what it should be.

    Looked for in `$MFBENCH_DATA` and `$MFBENCH_DATA/<subfolder>`, then in the cache, then downloaded.

    Raises
    ------
    DataError
        If a file of that name has another content, or no address gives the file.
    """
    own = os.environ.get(DATA_VARIABLE)
    if own:
        for folder in (Path(own), Path(own) / subfolder):
            path = folder / file.name
            if path.is_file():
                algorithm, expected = file.sum
                found = sum_of(path, algorithm)
                if found != expected:
                    raise DataError(
                        f"{algorithm} is {found}, expected {expected}.",
                        file=path,
                        hint=f"Remove it from {DATA_VARIABLE}, or put the right file there.",
                    )
                return path
    return _download(file, cache_folder() / subfolder)


def _download(file: RemoteFile, folder: Path) -> Path:
    import pooch

    pooch.get_logger().setLevel("WARNING")
    reasons = []
    algorithm, expected = file.sum
    for url in file.urls:
        logger.info("%s: taken from %s, or from %s if it is there", file.name, url, folder)
        try:
            return Path(pooch.retrieve(url, f"{algorithm}:{expected}", fname=file.name, path=folder))
        except Exception as error:  # pooch passes on whatever its transports raise
            reasons.append(f"{url}: {str(error).splitlines()[0] if str(error) else type(error).__name__}")
    raise DataError(
        f"the file could not be downloaded ({'; '.join(reasons)}).",
        file=file.name,
        hint=f"Get it by other means ({algorithm} {expected}) and name its folder in {DATA_VARIABLE}.",
    )
