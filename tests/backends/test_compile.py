"""Compiling once, and doing without a compiler."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch

from mfbench.mfcore.backends import select as backends
from mfbench.mfcore.backends.cpp import compile as compiler
from mfbench.mfcore.backends.cpp.convolution import cpp_convolution
from mfbench.mfcore.backends.cpp.edge_sums import cpp_edges
from mfbench.mfcore.backends.cpp.geometry import cpp_geometry
from mfbench.mfcore.backends.cpp.node_update import cpp_update
from mfbench.mfcore.backends.cpp.readout import cpp_readout
from mfbench.mfcore.backends.numba import provider as numba_kernels
from mfbench.mfcore.backends.report import backend_report
from mfbench.mfcore.errors import ConfigError
from mfbench.mfcore.ops.convolution.op import convolve
from tests.ops.examples import paths_named, radial_for, random_features, random_graph

SOURCE = 'extern "C" double twice(double x) { return 2 * x; }'


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """An empty kernel cache, and a process that has compiled nothing yet."""

    def forget() -> None:
        made = cpp_convolution, cpp_geometry, cpp_edges, cpp_update, cpp_readout
        for function in (compiler.compiler, *made):
            function.cache_clear()
        backends.forget()

    monkeypatch.setenv("MFBENCH_CACHE", str(tmp_path))
    forget()
    yield tmp_path / "kernels"
    forget()


def broken_compiler(folder: Path) -> str:
    script = folder / "g++"
    script.write_text(
        '#!/bin/sh\n[ "$1" = --version ] && echo "broken 1.0" && exit 0\necho "no such target" >&2\nexit 1\n'
    )
    script.chmod(0o755)
    return str(script)


@pytest.mark.skipif(compiler.compiler() is None, reason="no C++ compiler")
def test_a_library_is_compiled_once_and_leaves_nothing_else_behind(fresh: Path) -> None:
    written = []

    def source() -> str:
        written.append(1)
        return SOURCE

    for _ in range(2):
        assert compiler.load_library("twice", source).twice is not None
    assert len(written) == 1
    assert [path.suffix for path in fresh.iterdir()] == [".so"]
    compiler.load_library("another", source)
    assert len(list(fresh.iterdir())) == 2


@pytest.mark.skipif(compiler.compiler() is None, reason="no C++ compiler")
def test_a_damaged_library_is_compiled_again(fresh: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compiler.load_library("damaged", lambda: SOURCE)
    (whole,) = fresh.iterdir()
    damaged = fresh.parent / "other" / "kernels" / whole.name  # not the path of a library that is loaded
    damaged.parent.mkdir(parents=True)
    damaged.write_bytes(whole.read_bytes()[:100])
    monkeypatch.setenv("MFBENCH_CACHE", str(fresh.parent / "other"))
    assert compiler.load_library("damaged", lambda: SOURCE).twice is not None
    assert damaged.stat().st_size == whole.stat().st_size


@pytest.mark.skipif(compiler.compiler() is None, reason="no C++ compiler")
def test_who_compiles_the_same_at_once_does_not_meet_half_of_it(fresh: Path) -> None:
    """Each makes its own and renames it: nobody finds a part of a library, and one is left."""
    with ThreadPoolExecutor(3) as pool:
        found = list(pool.map(lambda _: compiler.load_library("race", lambda: SOURCE).twice, range(3)))
    assert all(function is not None for function in found)
    assert [path.suffix for path in fresh.iterdir()] == [".so"]


def test_a_failing_compiler_without_numba_means_the_reference_and_one_warning(
    fresh: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    monkeypatch.setenv("CXX", broken_compiler(tmp_path))
    monkeypatch.setattr(numba_kernels.NumbaProvider, "obstacle", lambda _: "numba is not installed.")
    paths, graph = paths_named("natural parity, lmax 2"), random_graph(5, 30)
    radial, features = radial_for(paths), random_features(paths, 5)
    with caplog.at_level(logging.WARNING, logger="mfbench"):
        results = [
            convolve(paths, features, (geometry := graph.geometry(radial, 2)), radial(geometry)) for _ in range(2)
        ]
    assert len(caplog.records) == 1
    assert "backend reference" in caplog.text
    assert "no such target" in caplog.text
    assert "numba is not installed" in caplog.text
    assert "reference" in backend_report()["backend on the CPU"]
    geometry = graph.geometry(radial, 2, "reference")
    expected = convolve(paths, features, geometry, radial(geometry), "reference")
    for result in results:
        assert all(torch.equal(a, b) for a, b in zip(result, expected, strict=True))
    with pytest.raises(ConfigError, match="no such target"):
        convolve(paths, features, geometry, radial(geometry), "cpp")
    assert not any(fresh.glob("**/*.so"))


def test_without_a_compiler_the_report_says_so(fresh: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert compiler.compiler() is None
    assert "cpp: no C++ compiler" in backend_report()["backend on the CPU"]
    paths, graph = paths_named("natural parity, lmax 2"), random_graph(5, 30)
    with pytest.raises(ConfigError, match=r"no C\+\+ compiler"):
        graph.geometry(radial_for(paths), 2, "cpp")


def test_the_report_names_the_cache(fresh: Path) -> None:
    assert backend_report()["kernel cache"] == str(fresh)
