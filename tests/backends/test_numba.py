"""Kernels by numba are compiled once, and a fault in compiling them is one message."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from pathlib import Path

import pytest

from mfbench.mfcore.backends.numba.compile import load
from mfbench.mfcore.backends.numba.convolution import head
from mfbench.mfcore.backends.protocol import KernelsUnavailable

pytest.importorskip("numba")

TWICE = """
@cfunc(types.float64(types.float64), cache=True)
def kernel(x):
    return S(2.0) * x
"""


def twice() -> float:
    value: float = ctypes.CFUNCTYPE(ctypes.c_double, ctypes.c_double)(load(head("float64", 2) + TWICE))(2.5)
    return value


def flipped(content: bytes) -> bytes:
    at = len(content) // 2
    return content[:at] + bytes([content[at] ^ 4]) + content[at + 1 :]


def halved(content: bytes) -> bytes:
    return content[: len(content) // 2]


@pytest.fixture
def folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("MFBENCH_CACHE", str(tmp_path))
    return tmp_path / "kernels"


def test_a_kernel_is_kept_beside_its_source(folder: Path) -> None:
    assert twice() == 5.0
    assert len(list(folder.iterdir())) == 1
    (compiled,) = folder.glob("*/*/*.nbc")
    before = compiled.stat().st_mtime_ns
    assert twice() == 5.0
    assert compiled.stat().st_mtime_ns == before
    assert sorted(p.suffix for p in folder.rglob("*") if p.is_file()) == [".json", ".nbc", ".nbi", ".py"]


@pytest.mark.parametrize("suffix", [".py", ".nbi", ".nbc", ".json"])
@pytest.mark.parametrize("damage", [flipped, halved, None], ids=["flipped", "halved", "removed"])
def test_damaged_files_are_never_loaded_but_made_anew(
    folder: Path, caplog: pytest.LogCaptureFixture, suffix: str, damage: Callable[[bytes], bytes] | None
) -> None:
    twice()
    (path,) = folder.rglob(f"*{suffix}")
    right = path.read_bytes()
    path.unlink()
    if damage is not None:
        path.write_bytes(damage(right))
        path.chmod(0o600)
    assert twice() == 5.0
    assert "is damaged" in caplog.text
    (fresh,) = folder.rglob(f"*{suffix}")
    if suffix == ".py":
        assert fresh.read_bytes() == right
    caplog.clear()
    assert twice() == 5.0
    assert not caplog.records


def test_files_that_others_may_write_are_not_loaded(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    twice()
    (path,) = folder.rglob("*.nbc")
    path.chmod(0o666)
    assert twice() == 5.0
    assert "may be written to by others" in caplog.text


def test_a_source_that_does_not_compile_says_so(folder: Path) -> None:
    with pytest.raises(KernelsUnavailable, match=r"numba failed: .*nonsense"):
        load(head("float64", 2) + TWICE.replace("S(2.0) * x", "nonsense(x)"))


def test_without_any_folder_it_says_so(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full() -> Path:
        raise OSError(28, "No space left on device", "kernels")

    monkeypatch.setattr("mfbench.mfcore.backends.numba.compile.kernel_folder", full)
    with pytest.raises(KernelsUnavailable, match=r"No space left.*kernels"):
        load(head("float64", 2) + TWICE)
