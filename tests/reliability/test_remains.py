"""Remains of a fit that is killed while it clears up are known to be needless, wherever the kill comes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mfbench.benchmarks.user import fitted
from mfbench.mfcore.errors import ConfigError


class Killed(BaseException):
    """In place of a SIGKILL."""


def remains(folder: Path) -> Path:
    """A finished potential, and its work folder as it is before it is cleared."""
    (folder / "model").mkdir()
    work = fitted.work_folder(folder / "model")
    (work / "stages").mkdir(parents=True)
    for name in ("a.ckpt", "z.ckpt", "stages/1.ckpt", fitted.SAVED):
        (work / name).write_text("")
    return work


@pytest.mark.parametrize("removals", range(7))
def test_what_is_left_is_dropped_by_the_next_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, removals: int
) -> None:
    work, done = remains(tmp_path), 0

    def counted(call):
        def removing(*arguments: object, **options: object) -> None:
            nonlocal done
            if done == removals:
                raise Killed
            done += 1
            call(*arguments, **options)

        return removing

    with monkeypatch.context() as patch:
        for name in ("unlink", "rmdir"):
            patch.setattr(os, name, counted(getattr(os, name)))
        if removals < 6:  # four files and two folders
            with pytest.raises(Killed):
                fitted._drop(work)
        else:
            fitted._drop(work)
    assert work.exists() == (removals < 6)
    with pytest.raises(ConfigError, match="exists already"):
        fitted.check_free(tmp_path / "model")
    assert os.listdir(tmp_path) == ["model"]


def test_checkpoints_of_a_fit_that_has_no_potential_yet_stay(tmp_path: Path) -> None:
    work = remains(tmp_path)
    (work / fitted.SAVED).unlink()
    with pytest.raises(ConfigError, match="exists already"):
        fitted.check_free(tmp_path / "model")
    assert sorted(os.listdir(work)) == ["a.ckpt", "stages", "z.ckpt"]
