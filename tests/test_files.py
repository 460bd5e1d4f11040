"""A file is there whole or not at all."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from mfbench.mfcore.errors import StorageError
from mfbench.mfcore.files import append_line, make_folder, rename_folder, replacing, write_bytes, write_text


def test_a_fault_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "new" / "a.txt"
    write_text(path, "Å")
    assert path.read_text(encoding="utf-8") == "Å"

    def cut_off() -> None:
        with replacing(path) as temporary:
            temporary.write_text("half")
            assert temporary.suffix == ".txt"
            raise RuntimeError("cut")

    with pytest.raises(RuntimeError, match="cut"):
        cut_off()
    assert path.read_text(encoding="utf-8") == "Å"
    assert [p.name for p in path.parent.iterdir()] == ["a.txt"]


def test_permissions_are_those_of_any_new_file(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write_text(tmp_path / "a", "x")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o640


FULL = pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small file system")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 KiB; skipped where it cannot be mounted."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("a file system cannot be mounted here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@FULL
def test_a_full_disk_is_a_sentence_and_the_old_file_stays(small_disk: Path) -> None:
    path = small_disk / "a.json"
    write_text(path, "old")
    with pytest.raises(StorageError, match=r"a\.json: no space is left on the disk") as caught:
        write_bytes(path, bytes(100_000))
    assert caught.value.exit_code == 3
    assert path.read_text() == "old"
    assert list(small_disk.iterdir()) == [path]


def test_names_that_are_taken_are_sentences(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "folder").mkdir()
    with pytest.raises(StorageError, match="file: a file is in the place of a folder"):
        write_text(tmp_path / "file" / "a" / "b.txt", "y")
    with pytest.raises(StorageError, match="file: a file is in the place of a folder"):
        make_folder(tmp_path / "file")
    with pytest.raises(StorageError, match="folder: a folder has this name"):
        write_text(tmp_path / "folder", "y")
    made = tmp_path / "made"
    made.mkdir()
    (tmp_path / "folder" / "b").write_text("x")
    with pytest.raises(StorageError, match="folder"):
        rename_folder(made, tmp_path / "folder")
    assert (tmp_path / "file").read_text() == "x"


def test_every_fault_of_the_system_while_writing_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.txt"
    write_text(path, "old")
    for name in ("fsync", "replace", "open", "chmod"):
        for number in (errno.ENOSPC, errno.EROFS, errno.EIO):

            def fail(*args: object, number: int = number, **options: object) -> None:
                raise OSError(number, os.strerror(number))

            with monkeypatch.context() as patch:
                patch.setattr(os, name, fail)
                with pytest.raises(StorageError, match=r"a\.txt"):
                    write_text(path, "new")
            assert path.read_text() == "old"
            assert list(tmp_path.iterdir()) == [path]


def test_the_file_and_then_its_name_are_brought_to_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    fsync, replace = os.fsync, os.replace

    def note_sync(handle: int) -> None:
        told.append("folder" if stat.S_ISDIR(os.fstat(handle).st_mode) else "file")
        fsync(handle)

    def note_replace(*names: str) -> None:
        told.append("rename")
        replace(*names)

    monkeypatch.setattr(os, "fsync", note_sync)
    monkeypatch.setattr(os, "replace", note_replace)
    write_text(tmp_path / "a.txt", "x")
    assert told == ["file", "rename", "folder"]


def test_a_device_is_written_to_and_not_replaced() -> None:
    write_text(Path("/dev/null"), "x")
    assert stat.S_ISCHR(Path("/dev/null").stat().st_mode)


def test_a_line_is_added_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.jsonl"
    append_line(path, "Å")
    path.write_bytes(path.read_bytes() + b"torn")
    append_line(path, "b")
    assert path.read_text(encoding="utf-8") == "Å\nb\n"

    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(StorageError, match=r"a\.jsonl: no space is left"):
            append_line(path, "c")
    assert path.read_text(encoding="utf-8") == "Å\nb\n"
