"""Kernels by numba are compiled once, and a fault in compiling them is one message."""

from __future__ import annotations

import ctypes
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


@pytest.fixture
def folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("MFBENCH_CACHE", str(tmp_path))
    return tmp_path / "kernels"


def test_a_kernel_is_kept_beside_its_source(folder: Path) -> None:
    for _ in range(2):
        address = load(head("float64", 2) + TWICE)
        assert ctypes.CFUNCTYPE(ctypes.c_double, ctypes.c_double)(address)(2.5) == 5.0
    assert [path.suffix for path in folder.iterdir() if path.is_file()] == [".py"]
    assert len(list(folder.glob("**/*.nbc"))) == 1


def test_a_source_that_does_not_compile_says_so(folder: Path) -> None:
    with pytest.raises(KernelsUnavailable, match=r"numba failed: .*nonsense"):
        load(head("float64", 2) + TWICE.replace("S(2.0) * x", "nonsense(x)"))


def test_a_folder_that_cannot_be_written_says_so(folder: Path) -> None:
    folder.write_text("a file where the folder should be")
    with pytest.raises(KernelsUnavailable, match="kernels"):
        load(head("float64", 2) + TWICE)
