"""Errors that a user can act on: each says where the fault is, what was expected, and what to do."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import ClassVar


class MfbenchError(Exception):
    """Base of all errors that the command line prints as one message instead of a traceback.

    Attributes
    ----------
    exit_code
        Of a command that ends by it.
    """

    exit_code: ClassVar[int] = 2


class ConfigError(MfbenchError):
    """A setting that is unknown, impossible, or contradicts another one; the message names its key."""


class LeakageError(MfbenchError):
    """A test geometry, or a near-duplicate of one, is in a training set; nothing was trained."""


class SelfCheckError(MfbenchError):
    """A training or a potential is not what it claims to be: a fault in code or settings, never in the data."""


class BudgetError(MfbenchError):
    """A budget that buys nothing, or a run that spent more than it was given."""


class EstimateWarning(UserWarning):
    """A prediction for an element that no label of its fidelity was about."""


class ExtrapolationWarning(UserWarning):
    """An answer for atoms that are closer, or have other surroundings, than in any frame of the training."""


class UntrainedWarning(UserWarning):
    """A potential whose energies were no better than a constant by composition where it was selected."""


class TrainingError(MfbenchError):
    """A training that diverged; the run is recorded as failed."""


class DataError(MfbenchError):
    """A fault in a data file.

    Parameters
    ----------
    problem
        What is wrong and what was expected.
    file, frame, key
        Where: path of the file, 0-based index of the frame in it, name of the label or info key.
    hint
        What to do about it.
    """

    def __init__(
        self,
        problem: str,
        *,
        file: str | Path | None = None,
        frame: int | None = None,
        key: str | None = None,
        hint: str | None = None,
    ) -> None:
        places = [
            f"file {file}" if file is not None else "",
            f"frame {frame}" if frame is not None else "",
            f"key '{key}'" if key is not None else "",
        ]
        where = ", ".join(p for p in places if p)
        super().__init__((f"{where}: " if where else "") + problem + (f" {hint}" if hint else ""))
        self.file, self.frame, self.key, self.problem, self.hint = file, frame, key, problem, hint


class StorageError(MfbenchError):
    """A fault of the disk, not of data or settings: it is full, may not be written to, or a name is taken.

    Commands end with exit code 3, and what they had finished before is kept.
    """

    exit_code: ClassVar[int] = 3

    @classmethod
    def of(cls, error: OSError, path: str | Path | None = None) -> StorageError:
        """The sentence for an error of the system.

        Parameters
        ----------
        error
            As it was raised.
        path
            File or folder that was meant; None: the one that the error names.
        """
        place = path if path is not None else error.filename
        problem, remedy = _FAULTS.get(error.errno or 0, (error.strerror or str(error) or type(error).__name__, ""))
        where = f"{place}: " if place is not None else ""
        return cls(f"{where}{problem}." + (f" {remedy}" if remedy else ""))

    @classmethod
    def within(cls, error: BaseException) -> StorageError | None:
        """The error as one of this kind if the disk is at fault and no code; files that are missing are not meant."""
        if isinstance(error, StorageError):
            return error
        if isinstance(error, OSError) and error.errno in _FAULTS and error.errno not in (errno.ENOENT, errno.EEXIST):
            return cls.of(error)
        return None


_AGAIN = "and give the same command again; nothing is left half-written."
_FULL = f"Free some {_AGAIN}"
_FORBIDDEN = "Choose another place, or change its permissions."
_FAULTS = {
    errno.ENOSPC: ("no space is left on the disk", _FULL),
    errno.EDQUOT: ("the disk quota is used up", _FULL),
    errno.EFBIG: ("the file is larger than the system allows", f"Raise the limit {_AGAIN}"),
    errno.EROFS: ("the file system is read-only", "Choose a place that can be written to."),
    errno.EACCES: ("permission denied", _FORBIDDEN),
    errno.EPERM: ("the system does not permit this", _FORBIDDEN),
    errno.EISDIR: ("a folder has this name, but a file is meant", "Remove it, or give another name."),
    errno.ENOTDIR: ("a file is in the place of a folder", "Remove it, or give another name."),
    errno.EEXIST: ("something else has this name", "Remove it, or give another name."),
    errno.ENOTEMPTY: ("a folder that is not empty has this name", "Remove it, or give another name."),
    errno.ENOENT: ("no such file or folder", "Is the name right?"),
    errno.ENAMETOOLONG: ("the name is too long", "Give a shorter one."),
    errno.ELOOP: ("a symbolic link is in its place, or links lead in a circle", "Remove it, or give another name."),
    errno.EIO: ("the disk failed to read or write", f"See to the disk {_AGAIN}"),
    errno.EMFILE: ("too many files are open", "Raise the limit (ulimit -n)."),
    errno.ENFILE: ("too many files are open on this machine", ""),
}
