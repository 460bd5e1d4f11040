"""Which code computes a convolution: the first provider of kernels that can be used, else plain torch.

To add a provider, write a :class:`~mfbench.mfcore.ops.protocols.Provider` and enter it below.
"""

from __future__ import annotations

import logging
import os
from functools import cache, lru_cache
from importlib import import_module
from typing import Any, ClassVar, Literal, get_args

import torch

from mfbench.mfcore.backends.cpp.compile import cache_directory, compiler
from mfbench.mfcore.errors import ConfigError
from mfbench.mfcore.ops.convolution.instructions import TensorProductPaths
from mfbench.mfcore.ops.protocols import (
    ConvolutionKernels,
    EdgeKernels,
    GeometryKernels,
    KernelsUnavailable,
    Provider,
    ReadoutKernels,
    UpdateKernels,
)

Backend = Literal["auto", "reference", "fused", "numba", "triton"]

#: Providers in the order in which "auto" tries them, with the class of each.
_PROVIDERS: dict[str, str] = {
    "fused": "mfbench.mfcore.backends.cpp.provider:CppProvider",
    "numba": "mfbench.mfcore.backends.numba.provider:NumbaProvider",
    "triton": "mfbench.mfcore.backends.triton.provider:TritonProvider",
}
MAX_DEGREE = 4  # of harmonics in kernels
VARIABLE = "MFBENCH_BACKEND"
_REFERENCE = "plain torch, several times slower"

_log = logging.getLogger("mfbench")


class _State:
    """What this process has found out."""

    failures: ClassVar[dict[str, str]] = {}  # of providers whose kernels could not be made, the reason
    announced: ClassVar[set[tuple[str, str]]] = set()  # (backend, device) that were logged


def forget() -> None:
    """Find everything out again: for tests that change what this machine has."""
    _State.failures.clear()
    _State.announced.clear()
    _obstacle.cache_clear()
    _selected.cache_clear()
    provider.cache_clear()


@cache
def provider(name: str) -> Provider:
    """The provider of a backend; only its own module is imported."""
    module, attribute = _PROVIDERS[name].split(":")
    made: Provider = getattr(import_module(module), attribute)()
    return made


@cache
def _obstacle(name: str) -> str | None:
    return provider(name).obstacle()


def check_backend(backend: str, what: str = "convolution backend") -> None:
    """Raise ConfigError for an unknown name."""
    if backend not in get_args(Backend):
        raise ConfigError(f"{what}: expected one of {', '.join(get_args(Backend))}; got '{backend}'.")


def _forced() -> str | None:
    """What "auto" stands for by the environment variable, on the device that it is for; None if it is not set."""
    value = os.environ.get(VARIABLE, "").strip()
    if value in ("", "auto"):
        return None
    check_backend(value, VARIABLE)
    return value


def _unfit(name: str, device: torch.device, dtype: torch.dtype, table: bool) -> str | None:
    """Why the kernels of a provider are not for such a convolution."""
    if not table:
        return "it needs radial functions in table mode."
    found = provider(name)
    if found.device != device.type:
        return f"it runs on {found.device}, but the tensors are on {device}."
    if dtype not in found.dtypes:
        return f"it computes in {' and '.join(str(t).removeprefix('torch.') for t in found.dtypes)}, not {dtype}."
    return None


def _announce(name: str, device: torch.device, why: list[str]) -> None:
    """Say once which backend is used, and why not the ones before it."""
    if (name, device.type) in _State.announced:
        return
    _State.announced.add((name, device.type))
    title = _REFERENCE if name == "reference" else provider(name).title
    threads = f", {torch.get_num_threads()} threads" if device.type == "cpu" else ""
    level = logging.WARNING if name == "reference" else logging.INFO
    because = f", because {' '.join(why)}" if why else ""
    _log.log(level, "convolution on %s: backend %s (%s%s)%s", device.type, name, title, threads, because)


def _select(
    what: str,
    arguments: tuple[object, ...],
    device: torch.device,
    table: bool,
    degree: int,
    backend: Backend,
) -> Any:
    """Kernels of the first provider that can be used; None for the reference.

    Parameters
    ----------
    what, arguments
        Method of the provider that makes them, and what it is given; the last is the dtype.
    device, table, degree, backend
        What they are for.

    Raises
    ------
    ConfigError
        If a provider is demanded and cannot be used.
    """
    forced = _forced() if backend == "auto" else None
    if "reference" in (backend, forced):
        return None
    return _selected(what, arguments, device, table, degree, backend, forced)


@lru_cache(maxsize=1024)  # asked for ten times in every training step
def _selected(
    what: str,
    arguments: tuple[Any, ...],
    device: torch.device,
    table: bool,
    degree: int,
    backend: Backend,
    forced: str | None,
) -> Any:
    dtype: torch.dtype = arguments[-1]
    if forced and provider(forced).device != device.type:
        forced = None
    names = [backend] if backend != "auto" else [forced] if forced else list(_PROVIDERS)
    why: list[str] = []
    for name in names:
        unfit = _unfit(name, device, dtype, table)
        if degree > MAX_DEGREE:
            unfit = unfit or f"its harmonics end at degree {MAX_DEGREE}."
        if unfit and backend == "auto":
            continue  # not the provider's fault: another convolution may be for it
        obstacle = unfit or _State.failures.get(name) or _obstacle(name)
        if obstacle is None:
            try:
                kernels = getattr(provider(name), what)(*arguments)
            except KernelsUnavailable as error:
                obstacle = _State.failures[name] = str(error)
            else:
                _announce(name, device, why)
                return kernels
        if forced or backend != "auto":
            hint = f"Unset {VARIABLE}." if forced else "Set the backend to auto or reference."
            raise ConfigError(f"the {name} convolution cannot be used: {obstacle} {hint}")
        why.append(f"{name} cannot be used: {obstacle}")
    if why:
        _announce("reference", device, why)
    return None


def convolution_kernels(
    paths: TensorProductPaths, device: torch.device, dtype: torch.dtype, table: bool, backend: Backend
) -> ConvolutionKernels | None:
    """Kernels to use for a convolution, or None for the reference.

    Raises
    ------
    ConfigError
        If a backend is demanded, by `backend` or by the environment variable, and it cannot be used.
    """
    made: ConvolutionKernels | None = _select("convolution", (paths, dtype), device, table, paths.lmax, backend)
    return made


def kernels_of_geometry(
    lmax: int, envelope_power: int, vectors: torch.Tensor, table: bool, backend: Backend
) -> GeometryKernels | None:
    """As :func:`convolution_kernels`, for the geometry operator."""
    arguments = lmax, envelope_power, vectors.dtype
    made: GeometryKernels | None = _select("geometry", arguments, vectors.device, table, lmax, backend)
    return made


def update_kernels(device: torch.device, dtype: torch.dtype, backend: Backend) -> UpdateKernels | None:
    """As :func:`convolution_kernels`, for node updates; None, too, where the provider has none."""
    made: UpdateKernels | None = _select("update", (dtype,), device, True, 0, backend)
    return made


def edge_kernels(device: torch.device, dtype: torch.dtype, backend: Backend) -> EdgeKernels | None:
    """As :func:`update_kernels`, for sums over edges."""
    made: EdgeKernels | None = _select("edges", (dtype,), device, True, 0, backend)
    return made


def readout_kernels(device: torch.device, dtype: torch.dtype, backend: Backend) -> ReadoutKernels | None:
    """As :func:`update_kernels`, for readouts."""
    made: ReadoutKernels | None = _select("readout", (dtype,), device, True, 0, backend)
    return made


def backend_report() -> dict[str, str]:
    """Which convolution backends this machine has, and why: for people. Makes no kernels."""
    report = {}
    devices = {"cpu": "the CPU"} | ({"cuda": "CUDA"} if torch.cuda.is_available() else {})
    forced = _forced()
    for device, label in devices.items():
        names = [name for name in _PROVIDERS if provider(name).device == device]
        if forced == "reference" or forced in names:
            names = [name for name in names if name == forced]
        obstacles = {name: _State.failures.get(name) or _obstacle(name) for name in names}
        used = next((name for name, obstacle in obstacles.items() if obstacle is None), None)
        reasons = " ".join(f"{name}: {obstacle}" for name, obstacle in obstacles.items() if obstacle)
        if used is None:
            text = f"reference (plain torch). {reasons}"
        else:
            text = f"{used} ({provider(used).title}) with radial tables, otherwise reference (plain torch). {reasons}"
        report[f"backend on {label}"] = text.strip()
        others = [name for name, obstacle in obstacles.items() if obstacle is None and name != used]
        if others:
            report[f"also on {label}"] = ", ".join(f"{name} ({provider(name).title})" for name in others)
    report[VARIABLE] = forced or f"not set (auto); one of {', '.join(get_args(Backend)[1:])} forces it"
    found = compiler()
    report["compiler"] = f"{found[0]}: {found[1]}" if found else "none"
    report["kernel cache"] = str(cache_directory())
    report["threads"] = str(torch.get_num_threads())
    return report
