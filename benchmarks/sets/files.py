"""Public files of benchmark sets, also those whose publisher lists no sum: then the sum at first use is kept."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from pathlib import Path

from mfbench.benchmarks.tasks.fetch import DATA_VARIABLE, RemoteFile, cache_folder, fetch
from mfbench.mfcore.errors import ConfigError, DataError
from mfbench.mfcore.files import make_folder, sha256_of, write_text

logger = logging.getLogger("mfbench")


@dataclass(frozen=True)
class PublicFile:
    """A file that somebody else has published.

    Attributes
    ----------
    name
        In the user's folder and in the cache.
    folder
        Below both.
    urls
        Where to get it, tried in this order.
    size
        In words, for messages.
    md5
        That its publisher lists; "" for none.
    """

    name: str
    folder: str
    urls: tuple[str, ...]
    size: str
    md5: str = ""

    @property
    def absent(self) -> str:
        """Words on what to do where the file is not here, without a full stop."""
        return f"not here: mfbench data fetch {self.folder}, or put {self.name} ({self.size}) in ${DATA_VARIABLE}"


def found(file: PublicFile) -> Path | None:
    """Return the path of a file that is here, unchecked; None if it is not."""
    own = os.environ.get(DATA_VARIABLE)
    folders = [Path(own), Path(own) / file.folder] if own else []
    return next((f / file.name for f in (*folders, cache_folder() / file.folder) if (f / file.name).is_file()), None)


def obtain(file: PublicFile, *, download: bool = False, sha256: str | None = None) -> Path:
    """Return the path of a file, checked by its publisher's sum, or by the one that it had at its first use here.

    Parameters
    ----------
    download
        Get it if it is not here.
    sha256
        That it has to have.

    Raises
    ------
    DataError
        If it is not here, cannot be had, or has another content.
    """
    path = found(file)
    if path is None:
        if not download:
            raise DataError(f"{file.absent}.", file=file.name)
        path = _downloaded(file)
    elif file.md5:
        path = fetch(RemoteFile(file.name, "", file.urls, file.md5), file.folder)
    kept = cache_folder() / file.folder / f"{file.name}.sha256"
    if file.md5 and sha256 is None:
        return path
    value = sha256_of(path)
    known = kept.read_text(encoding="utf-8").strip() if kept.is_file() else None
    expected = sha256 or known
    if expected is not None and value != expected.lower():
        source = "was asked for" if sha256 else f"it had at its first use ({kept})"
        raise DataError(
            f"sha256 is {value}, and {expected} {source}.",
            file=path,
            hint="Get the right file, or give the sum of this one with mfbench data fetch --sha256.",
        )
    if known != value:
        make_folder(kept.parent)
        write_text(kept, f"{value}\n")
    return path


def _downloaded(file: PublicFile) -> Path:
    import pooch

    if file.md5:
        return fetch(RemoteFile(file.name, "", file.urls, file.md5), file.folder)
    pooch.get_logger().setLevel("WARNING")
    reasons = []
    for url in file.urls:
        try:
            path = Path(pooch.retrieve(url, None, fname=file.name, path=cache_folder() / file.folder))
        except Exception as error:  # pooch passes on whatever its transports raise
            reasons.append(f"{url}: {str(error).splitlines()[0] if str(error) else type(error).__name__}")
            continue
        if path.read_bytes()[:300].lstrip().lower().startswith((b"<!doctype", b"<html")):
            path.unlink()
            reasons.append(f"{url}: a web page came in place of the file")
            continue
        logger.warning("%s: nobody lists its sum; it is %s.", path, sha256_of(path))
        return path
    raise DataError(
        f"it cannot be fetched from here ({'; '.join(reasons)}).",
        file=file.name,
        hint=f"Get it by other means ({file.urls[0]}), and put it in the folder that {DATA_VARIABLE} names.",
    )


def check_sha256(text: str) -> str | None:
    """Refuse what is no sha256.

    Raises
    ------
    ConfigError
        Says what one is.
    """
    if len(text) != 64 or set(text.lower()) - set("0123456789abcdef"):
        raise ConfigError(f"--sha256 {text}: expected 64 hexadecimal digits.")
    return text
