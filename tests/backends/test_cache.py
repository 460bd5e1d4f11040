"""Kernels are code: damaged ones, and those that another user may have written, are not loaded."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from mfbench.mfcore.backends import cache
from mfbench.mfcore.backends.cpp import compile as cpp
from mfbench.mfcore.backends.triton import compile as triton

SOURCE = 'extern "C" double twice(double x) { return 2 * x; }'
needs_compiler = pytest.mark.skipif(cpp.compiler() is None, reason="no C++ compiler")
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file to somebody else")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A kernel cache with one library."""
    root = tmp_path_factory.mktemp("whole")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MFBENCH_CACHE", str(root))
        cpp.load_library("twice", lambda: SOURCE)
    return root


@pytest.fixture
def copy(whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The one library in a cache of its own, under a path that this process has not loaded."""
    root = tmp_path / "copy"
    shutil.copytree(whole, root)
    monkeypatch.setenv("MFBENCH_CACHE", str(root))
    (library,) = (root / "kernels").glob("*.so")
    return library


def load(written: list[int]) -> float:
    def source() -> str:
        written.append(1)
        return SOURCE

    library = cpp.load_library("twice", source)
    library.twice.restype, library.twice.argtypes = cpp.ctypes.c_double, [cpp.ctypes.c_double]
    value: float = library.twice(2.5)
    return value


def flip(content: bytes, seed: int) -> bytes:
    at = random.Random(seed).randrange(len(content))
    return content[:at] + bytes([content[at] ^ (1 << seed % 8)]) + content[at + 1 :]


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    **{f"flip{seed}": lambda content, seed=seed: flip(content, seed) for seed in range(8)},
    **{f"cut{share}": lambda content, share=share: content[: len(content) * share // 100] for share in (0, 10, 96)},
    "zeros": lambda content: bytes(len(content)),
    "longer": lambda content: content + b"x",
}


@needs_compiler
@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_library_is_not_opened_but_compiled_again(
    copy: Path, caplog: pytest.LogCaptureFixture, damage: Callable[[bytes], bytes]
) -> None:
    copy.write_bytes(damage(copy.read_bytes()))
    written: list[int] = []
    assert load(written) == 5.0
    assert written
    assert "sha256" in caplog.text
    assert [p.name for p in copy.parent.iterdir()] == [copy.name]


@needs_compiler
def test_a_process_survives_a_truncated_library(copy: Path) -> None:
    """It was ended by SIGBUS, for which no error can be caught."""
    os.truncate(copy, copy.stat().st_size - 200)
    code = (
        f"from mfbench.mfcore.backends.cpp.compile import load_library as load; load('twice', lambda: {SOURCE!r}).twice"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


@needs_compiler
@pytest.mark.parametrize("mode", [0o620, 0o602])
def test_a_library_that_others_may_write_is_not_opened(copy: Path, caplog: pytest.LogCaptureFixture, mode: int) -> None:
    copy.chmod(mode)
    written: list[int] = []
    assert load(written) == 5.0
    assert written
    assert "may be written to by others" in caplog.text


@needs_root
@needs_compiler
def test_a_library_of_another_user_is_not_opened(copy: Path, caplog: pytest.LogCaptureFixture) -> None:
    os.chown(copy, 12345, -1)
    written: list[int] = []
    assert load(written) == 5.0
    assert written
    assert "owned by another user" in caplog.text


def refused(folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> str:
    monkeypatch.setenv("MFBENCH_CACHE", str(folder))
    monkeypatch.setattr(tempfile, "tempdir", str(folder.parent / "tmp"))
    (folder.parent / "tmp").mkdir(mode=0o700)
    for _ in range(2):  # said once
        found = cache.kernel_folder()
    assert found.is_relative_to(folder.parent / "tmp")
    assert cache.objection(found) is None
    (record,) = caplog.records
    return record.getMessage()


@pytest.mark.parametrize("mode", [0o770, 0o707])
def test_a_folder_that_others_may_write_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, mode: int
) -> None:
    (tmp_path / "cache" / "kernels").mkdir(parents=True)
    (tmp_path / "cache" / "kernels").chmod(mode)
    assert "may be written to by others" in refused(tmp_path / "cache", monkeypatch, caplog)


def test_a_folder_in_one_that_everybody_may_write_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache").chmod(0o777)
    assert "everybody" in refused(tmp_path / "cache", monkeypatch, caplog)


@needs_root
def test_a_folder_of_another_user_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "cache" / "kernels").mkdir(parents=True)
    os.chown(tmp_path / "cache" / "kernels", 12345, -1)
    assert "another user" in refused(tmp_path / "cache", monkeypatch, caplog)


def test_a_file_in_the_place_of_the_folder_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "kernels").write_text("x")
    assert "cannot be used" in refused(tmp_path / "cache", monkeypatch, caplog)


def test_a_new_folder_is_its_users_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MFBENCH_CACHE", str(tmp_path / "new"))
    before = os.umask(0)
    try:
        folder = cache.kernel_folder()
    finally:
        os.umask(before)
    assert folder.stat().st_mode & 0o777 == 0o700


def test_generated_modules_are_executed_from_their_text_not_from_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MFBENCH_CACHE", str(tmp_path))
    text = f"value = {tmp_path.name!r}\n"
    assert triton.load(text).value == tmp_path.name
    (path,) = (tmp_path / "kernels").iterdir()
    path.write_text("raise RuntimeError('somebody else wrote this')\n")
    sys.modules.pop(path.stem)
    assert triton.load(text).value == tmp_path.name
    assert path.read_text() == text  # Triton reads the source from there
    assert list((tmp_path / "kernels").iterdir()) == [path]  # and no compiled module


def test_what_killed_compilers_have_left_is_swept_when_it_is_old(tmp_path: Path) -> None:
    for name in (".build-old", ".build-new"):
        (tmp_path / name / "inner").mkdir(parents=True)
    for name in (".kernel.mfbench-old.py", "kernel.py"):
        (tmp_path / name).write_text("x")
    for name in (".build-old", ".kernel.mfbench-old.py", "kernel.py"):
        os.utime(tmp_path / name, (0, 0))
    cache.sweep_builds(tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == [".build-new", "kernel.py"]
