"""The check of a GPU: what it says without one, and that it finds faults (on the CPU's kernels)."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from mfbench.benchmarks.performance import gpu_check
from mfbench.benchmarks.performance.gpu_check import Check, Size
from mfbench.benchmarks.performance.workloads import argyrodite
from mfbench.mfcore.backends import select as backends
from tests.ops.examples import skip_without


def test_without_a_gpu_it_says_so_and_ends_with_3(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr("mfbench.mfcore.backends.triton.provider.find_spec", lambda name: "found")
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    backends.forget()
    with pytest.raises(SystemExit) as ended:
        gpu_check.main([])
    assert ended.value.code == 3
    assert capsys.readouterr().out == "nothing to check on this machine: torch finds no CUDA device.\n"
    backends.forget()


def test_a_call_that_waits_for_the_device_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    modes: list[str] = []
    monkeypatch.setattr(torch.cuda, "set_sync_debug_mode", modes.append)

    def waits() -> None:
        if modes and modes[-1] == "error":
            raise RuntimeError("called a synchronizing CUDA operation")

    assert gpu_check.waiting(waits) == 1.0
    assert gpu_check.waiting(lambda: None) == 0.0
    assert modes == ["error", "default"] * 2

    def breaks() -> None:
        if modes[-1] == "error":
            raise RuntimeError("out of memory")

    with pytest.raises(RuntimeError, match="out of memory"):
        gpu_check.waiting(breaks)
    assert modes[-1] == "default"


def test_the_steady_calls_run() -> None:
    for call in gpu_check.steady_calls([argyrodite(primitive=True)], "auto", "cpu").values():
        call()


@skip_without("cpp")
def test_right_kernels_hold_and_the_file_has_the_table(tmp_path: Path) -> None:
    found = gpu_check.checks("cpp", "cpu", degrees=(1,), channels=4)
    assert [check.name for check in found] == [
        "lmax 1, float64",
        "lmax 1, float32",
        "lmax 1, repeats",
        "neighbour lists",
    ]
    assert all(check.holds for check in found)
    assert 0.0 < found[0].value < found[0].bound < found[1].bound < 1e-2  # two different ways of computing it
    times = gpu_check.timings("cpp", "cpu", [argyrodite(primitive=True)], Size(4, 1, 1), 2)
    text = gpu_check.tables(found, times, "some GPU")
    assert text.count("holds") == len(found)
    gpu_check.write(tmp_path / "gpu.json", found, times, {"device": "some GPU"})
    stored = json.loads((tmp_path / "gpu.json").read_text(encoding="utf-8"))
    assert [line["what"] for line in stored["times"]] == ["energies", "energies and forces", "training step"]
    for line in stored["times"]:
        assert 0.0 < line["ratio_min"] <= line["ratio"] <= line["ratio_max"]
        assert f"{line['kernels_ms']:.2f}" in text


def test_wrong_numbers_do_not_hold() -> None:
    right = {"forces": torch.tensor([2.0, 0.0]), "nothing": torch.zeros(0)}
    assert gpu_check.difference(right, right) == 0.0
    assert gpu_check.difference(right | {"forces": torch.tensor([2.0, 0.5])}, right) == 0.25
    for wrong in (float("nan"), 1e-3):
        found = gpu_check.difference(right | {"forces": torch.tensor([2.0, wrong])}, right)
        assert not Check("a fault", found, gpu_check.TOLERANCE).holds
        assert "FAILS" in gpu_check.tables([Check("a fault", found, gpu_check.TOLERANCE)], [], "some GPU")


def test_a_list_that_lacks_an_edge_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    from mfbench.mfcore.data import device_neighbours

    frames = [argyrodite(primitive=True)]
    assert gpu_check.neighbours(frames, "cpu") == 0.0
    original = device_neighbours.neighbour_lists_of
    monkeypatch.setattr(
        device_neighbours, "neighbour_lists_of", lambda frames, cutoff, device: original(frames, 4.9, device)
    )
    assert gpu_check.neighbours(frames, "cpu") > 0
