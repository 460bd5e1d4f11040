"""A user's frames are compared with each other once; a record of it that is not sound counts as none."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest
from ase import Atoms
from ase.io import write

from mfbench.benchmarks.tasks import user, user_findings
from mfbench.benchmarks.tasks.user import UserTask
from mfbench.benchmarks.tasks.user_findings import Findings, findings_folder
from tests.cli.test_own_files import frames, labels

KNOWN = "frames were compared with each other by an earlier command"
COMPUTED = ("find_copies", "find_series", "label_faults", "near_duplicates", "describe")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MFBENCH_CACHE", str(tmp_path / "cache"))
    return findings_folder()


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    """A time series, whose middle is in both files, and other frames, of which one is twice there."""
    series, high = [], frames(14, "high", "cc", 2)
    for number in range(24):
        atoms = Atoms("OH2", [[0, 0, 0], [0.90 + 0.005 * number, 0, 0], [-0.24, 0.93, 0]])
        atoms.info["dft_energy"], atoms.arrays["dft_forces"] = labels(atoms, "low")
        series.append(atoms)
        if 5 <= number < 15:
            both = Atoms("OH2", atoms.positions)
            both.info["cc_energy"], both.arrays["cc_forces"] = labels(atoms, "high")
            high.append(both)
    twin = high[0].copy()
    twin.info |= {"structure_id": "twin", "group": "twin"}
    write(tmp_path / "low.xyz", series)
    write(tmp_path / "high.xyz", [*high, twin])
    return tmp_path / "low.xyz", tmp_path / "high.xyz"


def made(task: UserTask) -> list[object]:
    """All of a task that follows from the comparison."""
    notes = [note for note in task.notes if KNOWN not in note and "is not kept" not in note]
    merged = [(a.info["structure_id"], a.info["group"], sorted(a.info)) for a in task.frames]
    return [notes, task.faults, task.copies, task.duplicate_tolerance, merged, task.default_regime]


def known(task: UserTask) -> bool:
    return any(KNOWN in note for note in task.notes)


def test_the_second_time_nothing_is_compared(folder: Path, files, monkeypatch: pytest.MonkeyPatch) -> None:
    first = UserTask(*files, keep=True)
    assert not known(first)
    assert first.copies.pairs
    assert any("time series" in note for note in first.notes)
    for name in COMPUTED:
        monkeypatch.setattr(user, name, lambda *args, **options: pytest.fail("compared again"))
    told = []
    second = UserTask(*files, keep=True, told=lambda *words: told.append(words))
    assert known(second)
    assert told == [("known from before", len(second.frames), len(second.frames))]
    assert made(second) == made(first)
    assert len(list(folder.iterdir())) == 1


def test_nothing_is_kept_unless_asked(folder: Path, files) -> None:
    UserTask(*files)
    assert not folder.exists()


def test_other_frames_labels_or_settings_are_compared(folder: Path, files, monkeypatch: pytest.MonkeyPatch) -> None:
    UserTask(*files, keep=True)
    text = files[0].read_text()
    for change in ((" 0.93000000", " 0.93000100"), ("dft_energy=-", "dft_energy=-1")):
        assert change[0] in text
        files[0].write_text(text.replace(*change, 1))
        assert not known(UserTask(*files, keep=True)), change
    files[0].write_text(text)
    assert not known(UserTask(*files, keep=True, reading={"block": 1}))
    assert not known(UserTask(files[1], files[0], keep=True))
    assert not known(UserTask(None, files[1], keep=True))
    assert known(UserTask(*files, keep=True))
    monkeypatch.setattr(user_findings, "_code", lambda: {"code": "another"})
    assert not known(UserTask(*files, keep=True))


def test_a_damaged_or_foreign_record_is_computed_again(folder: Path, files) -> None:
    right = made(UserTask(*files, keep=True))
    (path,) = folder.iterdir()
    whole = path.read_bytes()
    other = json.loads(whole)
    other["key"] = "0" * 64
    damaged = [b"", whole[: len(whole) // 2], b"[]", json.dumps(other).encode(), whole[:-5] + b"\xff" + whole[-4:]]
    for place in range(20, len(whole), max(1, len(whole) // 12)):
        if chr(whole[place]).isalnum():
            damaged.append(whole[:place] + (b"1" if whole[place] != ord("1") else b"2") + whole[place + 1 :])
    assert len(damaged) > 8
    for content in damaged:
        path.write_bytes(content)
        task = UserTask(*files, keep=True)
        assert not known(task), content
        assert made(task) == right
        assert path.read_bytes() == whole
    UserTask(None, files[1], keep=True)
    (foreign,) = (p for p in folder.iterdir() if p != path)
    path.write_bytes(foreign.read_bytes())  # sound, but of other frames
    assert not known(UserTask(*files, keep=True))
    path.chmod(0o666)
    assert not known(UserTask(*files, keep=True))  # anybody may have written it
    assert known(UserTask(*files, keep=True))


def test_a_folder_that_cannot_be_used_is_one_sentence(tmp_path: Path, folder: Path, files, monkeypatch) -> None:
    right = made(UserTask(*files))
    (tmp_path / "cache").write_text("a file")
    task = UserTask(*files, keep=True)
    (said,) = [note for note in task.notes if "is not kept" in note]
    assert str(tmp_path / "cache") in said
    assert made(task) == right
    (tmp_path / "cache").unlink()

    def full(*args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(user_findings, "write_text", full)
    (said,) = [note for note in UserTask(*files, keep=True).notes if "is not kept" in note]
    assert "No space left" in said
    assert list(folder.iterdir()) == []
    monkeypatch.undo()
    monkeypatch.setenv("MFBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(user_findings, "LARGEST_BYTES", 10)
    assert any("larger than" in note for note in UserTask(*files, keep=True).notes)


def test_the_folder_is_bounded_and_swept(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def keep(number: int, size: int = 1) -> bool:
        findings = Findings([], {"number": number})
        findings.of("text", str, lambda: "x" * size)
        assert findings.keep() is None
        return findings.found

    keep(0)
    litter, fresh = (folder / f".{name}.mfbench-abc.json" for name in ("old", "new"))
    for path, age in ((litter, 7200), (fresh, 0)):
        path.write_text("{")
        os.utime(path, (time.time() - age,) * 2)
    monkeypatch.setattr(user_findings, "MOST_RECORDS", 3)
    for number in (1, 2):
        keep(number)
    assert not litter.exists()
    assert fresh.exists()
    for age, number in ((300, 0), (200, 1), (100, 2)):
        path = Findings([], {"number": number})._path(folder)
        os.utime(path, (time.time() - age,) * 2)
    assert keep(0)  # is used now, so that the second is the oldest
    keep(3)
    assert [keep(n) for n in (0, 2, 3)] == [True] * 3
    assert not keep(1)
    monkeypatch.setattr(user_findings, "MOST_BYTES", 1000)
    keep(4, 900)
    assert len(list(folder.glob("[!.]*.json"))) == 1
