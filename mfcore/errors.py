"""Errors that a user can act on: each says where the fault is, what was expected, and what to do."""

from pathlib import Path


class MfbenchError(Exception):
    """Base of all errors that the command line prints as one message (exit code 2) instead of a traceback."""


class ConfigError(MfbenchError):
    """A setting that is unknown, impossible, or contradicts another one; the message names its key."""


class LeakageError(MfbenchError):
    """A test geometry, or a near-duplicate of one, is in a training set; nothing was trained."""


class SelfCheckError(MfbenchError):
    """A training or a potential is not what it claims to be: a fault in code or settings, never in the data."""


class BudgetError(MfbenchError):
    """A budget that buys nothing, or a run that spent more than it was given."""


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
