"""Which provider is chosen, and what is said about it."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest
import torch

from mfbench.mfcore.backends import select as backends
from mfbench.mfcore.backends.protocol import KernelsUnavailable
from mfbench.mfcore.backends.report import backend_report
from mfbench.mfcore.backends.select import kernels_for
from mfbench.mfcore.cores.equivariant.config import EquivariantConfig
from mfbench.mfcore.errors import ConfigError
from tests.ops.examples import paths_named

PATHS = paths_named("scalars and an unused irrep, lmax 1")


class Works:
    title, device, dtypes = "a fake", "cpu", (torch.float32,)

    def obstacle(self) -> str | None:
        return None

    def convolution(self, paths, dtype):  # type: ignore[no-untyped-def]
        return (type(self).__name__, paths, dtype)

    def geometry(self, lmax, envelope_power, dtype):  # type: ignore[no-untyped-def]
        return (type(self).__name__, lmax, envelope_power, dtype)


class Second(Works):
    pass


class Missing(Works):
    def obstacle(self) -> str | None:
        return "it is not installed."


class Fails(Works):
    asked = 0

    def convolution(self, paths, dtype):  # type: ignore[no-untyped-def]
        Fails.asked += 1
        raise KernelsUnavailable("it went up in smoke.")


class OnCuda(Works):
    device = "cuda"


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv(backends.VARIABLE, raising=False)
    backends.forget()
    Fails.asked = 0
    yield
    backends.forget()


def use(monkeypatch: pytest.MonkeyPatch, **providers: type) -> None:
    monkeypatch.setattr(backends, "PROVIDERS", {name: f"{__name__}:{c.__name__}" for name, c in providers.items()})


def chosen(backend: str = "auto", dtype: torch.dtype = torch.float32, table: bool = True) -> str | None:
    made = kernels_for(backend, torch.zeros(1, dtype=dtype), table).convolution(PATHS)  # type: ignore[arg-type]
    return None if made is None else made[0]  # type: ignore[index]


def test_auto_takes_the_first_that_works(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    use(monkeypatch, triton=OnCuda, cpp=Missing, numba=Second)
    with caplog.at_level(logging.INFO, logger="mfbench"):
        assert [chosen() for _ in range(3)] == ["Second"] * 3
    (record,) = caplog.records
    assert "on cpu: backend numba (a fake" in record.getMessage()
    assert "cpp cannot be used: it is not installed." in record.getMessage()
    assert "triton" not in record.getMessage()


def test_a_provider_that_fails_is_not_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, cpp=Fails, numba=Second)
    assert [chosen() for _ in range(3)] == ["Second"] * 3
    assert Fails.asked == 1
    assert backend_report()["backend on the CPU"].startswith("numba")
    assert "smoke" in backend_report()["backend on the CPU"]


def test_without_any_provider_it_is_the_reference_with_one_warning(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    use(monkeypatch, cpp=Fails, numba=Missing)
    with caplog.at_level(logging.WARNING, logger="mfbench"):
        assert [chosen() for _ in range(3)] == [None] * 3
    (record,) = caplog.records
    assert "backend reference" in record.getMessage()
    assert "smoke" in record.getMessage()
    assert "not installed" in record.getMessage()
    assert backend_report()["backend on the CPU"].startswith("reference")


def test_what_is_not_for_kernels_goes_to_the_reference_in_silence(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    use(monkeypatch, cpp=Works)
    with caplog.at_level(logging.INFO, logger="mfbench"):
        assert chosen(table=False) is None
        assert chosen(dtype=torch.bfloat16) is None
        assert chosen("reference") is None
        assert kernels_for("auto", torch.zeros(1, device="meta")).convolution(PATHS) is None
    assert not caplog.records


def test_a_backend_that_is_demanded_is_used_or_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, cpp=Works, numba=Second, triton=Missing)
    assert chosen("numba") == "Second"
    assert kernels_for("numba", torch.zeros(1)).geometry(2, 6) == ("Second", 2, 6, torch.float32)
    with pytest.raises(ConfigError, match="triton convolution cannot be used: it is not installed"):
        chosen("triton")
    with pytest.raises(ConfigError, match=r"computes in float32, not torch\.float64"):
        chosen("cpp", torch.float64)
    use(monkeypatch, cpp=Fails)
    backends.forget()
    for _ in range(2):
        with pytest.raises(ConfigError, match="smoke"):
            chosen("cpp")


def test_the_environment_says_what_auto_stands_for(monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, cpp=Works, numba=Second, triton=Missing)
    monkeypatch.setenv(backends.VARIABLE, "numba")
    assert chosen() == "Second"
    assert chosen("cpp") == "Works"
    assert chosen(table=False) is None
    report = backend_report()
    assert report["backend on the CPU"].startswith("numba")
    assert report[backends.VARIABLE] == "numba"
    monkeypatch.setenv(backends.VARIABLE, "reference")
    assert chosen() is None
    assert backend_report()["backend on the CPU"].startswith("reference")
    use(monkeypatch, cpp=Works, triton=OnCuda)
    backends.forget()
    monkeypatch.setenv(backends.VARIABLE, "triton")
    assert chosen() == "Works"
    use(monkeypatch, cpp=Works, triton=Missing)
    backends.forget()
    with pytest.raises(ConfigError, match="Unset MFBENCH_BACKEND"):
        chosen()
    monkeypatch.setenv(backends.VARIABLE, "quick")
    with pytest.raises(ConfigError, match="MFBENCH_BACKEND: expected one of auto"):
        chosen()


def test_the_configuration_knows_every_backend() -> None:
    for name in ("auto", "reference", *backends.PROVIDERS):
        assert EquivariantConfig(backend=name).backend == name  # type: ignore[arg-type]
        backends.check_backend(name)
    for name in backends.PROVIDERS:
        assert backends.provider(name).device in ("cpu", "cuda")
