"""The Triton kernels without a GPU: by Triton's interpreter in a process of its own, and compiled for GPUs."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mfbench.mfcore.backends import select as backends
from mfbench.mfcore.backends.report import backend_report
from mfbench.mfcore.backends.select import provider
from mfbench.mfcore.backends.triton import provider as triton_kernels
from mfbench.mfcore.backends.triton.compile import load
from mfbench.mfcore.backends.triton.convolution import signatures
from mfbench.mfcore.backends.triton.geometry import GEOMETRY_KERNELS, geometry_source
from mfbench.mfcore.backends.triton.intervals import divide, intervals
from mfbench.mfcore.backends.triton.program import POINTERS, TritonProgram
from mfbench.mfcore.backends.triton.provider import TritonProvider
from tests.ops.examples import paths_named

needs_triton = pytest.mark.skipif(find_spec("triton") is None, reason="Triton is not installed")
REAL = {"float32": "*fp32", "float64": "*fp64"}


@needs_triton
def test_kernels_equal_the_reference_in_the_interpreter() -> None:
    file = Path(__file__).with_name("interpreted_triton.py")
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-rs", "-p", "no:cacheprovider", str(file)]
    environment = os.environ | {"TRITON_INTERPRET": "1", "MFBENCH_BACKEND": "", "COLUMNS": "120"}
    root = Path(__file__).parents[2]
    done = subprocess.run(command, env=environment, cwd=root, capture_output=True, text=True, timeout=280)
    if "does not work here" in done.stdout:
        pytest.skip(done.stdout[done.stdout.index("the interpreter of") :].splitlines()[0])
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert "passed" in done.stdout
    assert "skipped" not in done.stdout


def ptx(function: Any, signature: dict[str, str], constants: dict[str, Any], warps: int, capability: int) -> str:
    """Compile a kernel to the GPU's machine code; gives the assembler text."""
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    options = {"num_warps": warps, "enable_fp_fusion": True}
    source = ASTSource(fn=function, signature=signature, constexprs=constants)
    made = triton.compile(source, target=GPUTarget("cuda", capability, 32), options=options)
    assert len(made.asm["cubin"]) > 0
    return str(made.asm["ptx"])


def check(text: str, scalar: str) -> None:
    """No atomic operation, and in float64 no arithmetic in float32: a constant that was rounded."""
    words = set(text.split())  # not the first of a line only: most instructions have a predicate before them
    assert any(word.startswith("st.global") for word in words)
    assert not [word for word in words if word.startswith(("atom.", "red."))]
    if scalar == "float64":
        assert ".f32" not in text


@needs_triton
@pytest.mark.parametrize(("scalar", "capability"), [("float32", 80), ("float64", 90)])
def test_convolution_kernels_compile_for_a_gpu(
    scalar: str, capability: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    program = TritonProgram(paths_named("scalars and an unused irrep, lmax 1"), scalar)
    module = load(program.source())
    assert set(signatures(program)) == set(POINTERS)
    for kernel, signature in signatures(program).items():
        if kernel == "reduction":
            of_reduction = signature | {"n_intervals": "constexpr"}
            check(ptx(module.reduction, of_reduction, {"n_intervals": 128}, 4, capability), scalar)
        else:
            check(ptx(getattr(module, kernel), signature, {}, 1, capability), scalar)


@needs_triton
@pytest.mark.parametrize("scalar", ["float32", "float64"])
def test_geometry_kernels_compile_for_a_gpu(scalar: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    module = load(geometry_source(2, 6, scalar))
    for kernel, pointers in GEOMETRY_KERNELS.items():
        of_pointers = {name: "*i32" if name == "interval" else REAL[scalar] for name in ("v", *pointers)}
        signature = of_pointers | {"n": "i32", "inverse": "constexpr", "knots": "constexpr"}
        check(ptx(getattr(module, kernel), signature, {"inverse": 1 / 3, "knots": 128}, 4, 90), scalar)


@given(
    knot=st.lists(st.integers(0, 4), max_size=40),
    most=st.integers(1, 5),
)
@settings(max_examples=50, deadline=None)
def test_parts_of_intervals_hold_every_edge_once(knot: list[int], most: int) -> None:
    found = divide(torch.tensor(knot, dtype=torch.int32), 5, most)
    assert found.n_parts == len(knot) // most + 5
    seen: list[int] = []
    for interval in range(5):
        for part in range(int(found.start[interval]), int(found.start[interval + 1])):
            edges = found.order[int(found.first[part]) : int(found.last[part])].tolist()
            assert 1 <= len(edges) <= most
            assert {knot[e] for e in edges} == {interval}
            seen += edges
    assert sorted(seen) == list(range(len(knot)))
    used = int(found.start[-1])
    assert torch.equal(found.first[used:], found.last[used:])
    # in the order that they had, which makes sums repeat
    assert seen == sorted(seen, key=lambda e: knot[e])


def test_the_number_of_parts_is_bounded() -> None:
    knot = torch.zeros(32 * 8192 * 2, dtype=torch.int32)
    assert divide(knot, 4).n_parts == 8192 + 4
    assert int(divide(knot, 4).start[-1]) == 8192
    assert divide(knot[:64], 4).n_parts == 2 + 4


def test_parts_are_kept_with_the_tensor_that_they_are_of() -> None:
    knot = torch.tensor([2, 0, 1], dtype=torch.int32)
    first = intervals(knot, 3)
    assert intervals(knot, 3) is first
    assert intervals(knot, 4).start.shape == (5,)
    knot[0] = 0
    assert intervals(knot, 3).order.tolist() == [0, 1, 2]
    assert torch.equal(intervals(knot.clone(), 3).start, intervals(knot, 3).start)


class TestProvider:
    @pytest.fixture(autouse=True)
    def fresh(self, monkeypatch: pytest.MonkeyPatch) -> Any:
        monkeypatch.delenv("TRITON_INTERPRET", raising=False)
        monkeypatch.delenv(backends.VARIABLE, raising=False)
        monkeypatch.setattr(triton_kernels, "find_spec", lambda name: "found")
        backends.forget()
        yield
        backends.forget()

    def cuda(self, monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int], version: str | None = "13.0") -> None:
        monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: capability)
        monkeypatch.setattr(torch.version, "cuda", version)

    def test_says_what_is_missing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
        assert TritonProvider().device == "cuda"
        assert TritonProvider().obstacle() == "torch finds no CUDA device."
        self.cuda(monkeypatch, (7, 5))
        assert TritonProvider().obstacle() == "the GPU has compute capability 7.5, below 8.0."
        self.cuda(monkeypatch, (9, 0), version=None)
        assert TritonProvider().obstacle() == "torch was not built for CUDA."
        self.cuda(monkeypatch, (9, 0))
        assert TritonProvider().obstacle() is None
        monkeypatch.setattr(triton_kernels, "find_spec", lambda name: None)
        assert "not installed" in str(TritonProvider().obstacle())

    def test_is_what_auto_means_on_cuda(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.cuda(monkeypatch, (9, 0))
        assert provider("triton").device == "cuda"
        assert backend_report()["backend on CUDA"].startswith("triton (Triton) with radial tables")
        asked: list[Any] = []
        monkeypatch.setattr(TritonProvider, "convolution", lambda self, paths, dtype: asked.append(dtype) or "kernels")
        paths = paths_named("natural parity, lmax 2")
        made = backends.Kernels("auto", None, torch.device("cuda"), dtype=torch.float32, table=True).convolution(paths)
        assert made == "kernels"
        assert asked == [torch.float32]
        assert (
            backends.Kernels("auto", None, torch.device("cuda"), dtype=torch.bfloat16, table=True).convolution(paths)
            is None
        )

    def test_runs_on_the_cpu_under_the_interpreter(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("TRITON_INTERPRET", "1")
        assert TritonProvider().device == "cpu"
        assert TritonProvider().obstacle() is None
        assert "interpreter" in TritonProvider().title
