"""Which code computes a convolution: generated kernels where they can be used, else plain torch."""

from __future__ import annotations

import logging
from typing import Literal, get_args

import torch

from mfcore.errors import ConfigError
from mfcore.nn.convolution.compiler import CompilerError, cache_directory, compiler
from mfcore.nn.convolution.fused import Kernels, kernels_for
from mfcore.nn.convolution.fused_geometry import MAX_DEGREE, GeometryKernels, geometry_kernels
from mfcore.nn.convolution.paths import TensorProductPaths

Backend = Literal["auto", "reference", "fused"]

_log = logging.getLogger("mfbench")
_DTYPES = (torch.float32, torch.float64)


class _State:
    """What this process has found out; `failure` is why kernels cannot be compiled."""

    failure: str | None = None
    announced = False


def check_backend(backend: str) -> None:
    """Raise ConfigError for an unknown name."""
    if backend not in get_args(Backend):
        raise ConfigError(f"convolution backend: expected one of {', '.join(get_args(Backend))}; got '{backend}'.")


def _usable(backend: Backend, obstacle: str | None) -> bool:
    """Whether to try the kernels; ConfigError if they are demanded and there is an obstacle."""
    if backend == "reference":
        return False
    obstacle = obstacle or _State.failure
    if obstacle and backend == "fused":
        raise ConfigError(f"the fused convolution cannot be used: {obstacle} Set the backend to auto or reference.")
    return obstacle is None


def _obstacle(device: torch.device, dtype: torch.dtype) -> str | None:
    if device.type != "cpu":
        return f"it runs on the CPU, but the tensors are on {device}."
    if dtype not in _DTYPES:
        return f"it is compiled for float32 and float64, not {dtype}."
    return None


def _failed(error: CompilerError, backend: Backend) -> None:
    _State.failure = str(error)
    if backend == "fused":
        raise ConfigError(f"the fused convolution cannot be used: {error}") from None
    _log.warning("convolution: plain torch (several times slower), because %s", error)


def _announce() -> None:
    if not _State.announced:
        _State.announced = True
        found = compiler()
        _log.info("convolution: fused kernels compiled by %s, %d threads", found and found[1], torch.get_num_threads())


def convolution_kernels(
    paths: TensorProductPaths, device: torch.device, dtype: torch.dtype, table: bool, backend: Backend
) -> Kernels | None:
    """Kernels to use for a convolution, or None for the reference.

    Raises
    ------
    ConfigError
        If `backend` is "fused" and they cannot be used.
    """
    obstacle = _obstacle(device, dtype) if table else "it needs radial functions in table mode."
    if not _usable(backend, obstacle):
        return None
    try:
        kernels = kernels_for(paths, dtype)
    except CompilerError as error:
        _failed(error, backend)
        return None
    _announce()
    return kernels


def kernels_of_geometry(
    lmax: int, envelope_power: int, device: torch.device, dtype: torch.dtype, table: bool, backend: Backend
) -> GeometryKernels | None:
    """As :func:`convolution_kernels`, for the geometry operator."""
    obstacle = _obstacle(device, dtype) if table else "it needs radial functions in table mode."
    if lmax > MAX_DEGREE:
        obstacle = obstacle or f"its harmonics end at degree {MAX_DEGREE}."
    if not _usable(backend, obstacle):
        return None
    try:
        return geometry_kernels(lmax, envelope_power, dtype)
    except CompilerError as error:
        _failed(error, backend)
        return None


def backend_report() -> dict[str, str]:
    """Which convolution backend this machine uses, and why: for people. Compiles nothing."""
    report = {}
    if _State.failure:
        report["backend on the CPU"] = f"reference (plain torch): {_State.failure}"
    elif compiler() is None:
        report["backend on the CPU"] = "reference (plain torch): no C++ compiler was found"
    else:
        report["backend on the CPU"] = "fused (generated C++) with radial tables, otherwise reference (plain torch)"
    found = compiler()
    report["compiler"] = f"{found[0]}: {found[1]}" if found else "none"
    report["kernel cache"] = str(cache_directory())
    report["threads"] = str(torch.get_num_threads())
    if torch.cuda.is_available():
        report["backend on CUDA"] = "reference (plain torch)"
    return report
