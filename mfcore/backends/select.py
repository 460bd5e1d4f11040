"""Selection of the code that computes the operations: the first provider that can be used, else plain torch.

To add a provider, write a :class:`~mfbench.mfcore.backends.protocol.Provider` and enter it below.
"""

from __future__ import annotations

import logging
import os
from functools import cache, cached_property, lru_cache
from importlib import import_module
from typing import Any, ClassVar, get_args

import torch
from torch import Tensor

from mfbench.mfcore.backends.names import Backend
from mfbench.mfcore.backends.protocol import KernelsUnavailable, Provider
from mfbench.mfcore.errors import ConfigError
from mfbench.mfcore.ops.convolution.instructions import TensorProductInstructions
from mfbench.mfcore.ops.convolution.protocol import ConvolutionKernels
from mfbench.mfcore.ops.edge_sums.protocol import EdgeKernels
from mfbench.mfcore.ops.geometry.protocol import GeometryKernels
from mfbench.mfcore.ops.node_update.protocol import UpdateKernels
from mfbench.mfcore.ops.readout.protocol import ReadoutKernels

__all__ = ["Backend", "Kernels", "check_backend", "kernels_for"]

#: Providers in the order in which "auto" tries them, with the class of each.
PROVIDERS: dict[str, str] = {
    "cpp": "mfbench.mfcore.backends.cpp.provider:CppProvider",
    "numba": "mfbench.mfcore.backends.numba.provider:NumbaProvider",
    "triton": "mfbench.mfcore.backends.triton.provider:TritonProvider",
}
MAX_DEGREE = 4  # of harmonics in kernels
VARIABLE = "MFBENCH_BACKEND"
_REFERENCE = "plain torch, several times slower"

_log = logging.getLogger("mfbench")


class _State:
    """Findings of this process."""

    failures: ClassVar[dict[str, str]] = {}  # of providers whose kernels could not be made, the reason
    announced: ClassVar[set[tuple[str, str]]] = set()  # (backend, device) that were logged


def forget() -> None:
    """Find everything out again: for tests that change what this machine has."""
    _State.failures.clear()
    _State.announced.clear()
    _obstacle.cache_clear()
    _kernels.cache_clear()
    provider.cache_clear()


@cache
def provider(name: str) -> Provider:
    """The provider of a backend; only its own module is imported."""
    module, attribute = PROVIDERS[name].split(":")
    made: Provider = getattr(import_module(module), attribute)()
    return made


@cache
def _obstacle(name: str) -> str | None:
    return provider(name).obstacle()


def obstacle_of(name: str) -> str | None:
    """The reason why a provider cannot be used, as a sentence; None if it seems that it can. Makes no kernels."""
    return _State.failures.get(name) or _obstacle(name)


def check_backend(backend: str, what: str = "convolution backend") -> None:
    """Raise ConfigError for an unknown name."""
    if backend not in get_args(Backend):
        raise ConfigError(f"{what}: expected one of {', '.join(get_args(Backend))}; got '{backend}'.")


def forced_backend() -> str | None:
    """The backend that "auto" stands for by the environment variable, on its device; None if that is not set."""
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


def _first_that_works(
    what: str,
    arguments: tuple[Any, ...],
    device: torch.device,
    table: bool,
    degree: int,
    backend: Backend,
    forced: str | None,
) -> Any:
    """Kernels of the first provider that can be used; None for the reference.

    Parameters
    ----------
    what, arguments
        Method of the provider that makes them, and what it is given; the last is the dtype.
    device, table, degree, backend
        What they are for.
    forced
        What "auto" stands for.

    Raises
    ------
    ConfigError
        If a provider is demanded and cannot be used.
    """
    if "reference" in (backend, forced):
        return None
    dtype: torch.dtype = arguments[-1]
    if forced and provider(forced).device != device.type:
        forced = None
    names = [backend] if backend != "auto" else [forced] if forced else list(PROVIDERS)
    why: list[str] = []
    for name in names:
        unfit = _unfit(name, device, dtype, table)
        if degree > MAX_DEGREE:
            unfit = unfit or f"its harmonics end at degree {MAX_DEGREE}."
        if unfit and backend == "auto":
            continue  # not the provider's fault: another convolution may be for it
        obstacle = unfit or obstacle_of(name)
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


class Kernels:
    """The code that computes the operations of a network on one device in one dtype; None is plain torch.

    Each is looked up, and its kernels are made, when it is first asked for.

    Parameters
    ----------
    backend
        "auto" or a name.
    forced
        What "auto" stands for.
    device, dtype
        Of all tensors.
    table
        Whether radial functions are in table mode: geometry, convolutions and updates of others are plain torch.

    Raises
    ------
    ConfigError
        If the backend is unknown, or, when kernels are asked for, if it is demanded and cannot be used.
    """

    def __init__(
        self, backend: Backend, forced: str | None, device: torch.device, dtype: torch.dtype, table: bool
    ) -> None:
        check_backend(backend)
        self.backend, self.device, self.dtype, self.table = backend, device, dtype, table
        self._forced = forced
        self._found: dict[Any, Any] = {}

    def _of(self, what: str, arguments: tuple[Any, ...], table: bool, degree: int = 0) -> Any:
        given = (*arguments, self.dtype)
        return _first_that_works(what, given, self.device, table, degree, self.backend, self._forced)

    def convolution(self, paths: TensorProductInstructions) -> ConvolutionKernels | None:
        """For the products of these paths."""
        if paths not in self._found:
            self._found[paths] = self._of("convolution", (paths,), self.table, paths.lmax)
        made: ConvolutionKernels | None = self._found[paths]
        return made

    def geometry(self, lmax: int, envelope_power: int) -> GeometryKernels | None:
        """For harmonics up to lmax and an envelope."""
        key = lmax, envelope_power
        if key not in self._found:
            self._found[key] = self._of("geometry", key, self.table, lmax)
        made: GeometryKernels | None = self._found[key]
        return made

    @cached_property
    def update(self) -> UpdateKernels | None:
        """For node updates; None, too, where the provider has none."""
        made: UpdateKernels | None = self._of("update", (), self.table)
        return made

    @cached_property
    def edges(self) -> EdgeKernels | None:
        """For sums over edges; None, too, where the provider has none."""
        made: EdgeKernels | None = self._of("edges", (), True)
        return made

    @cached_property
    def readout(self) -> ReadoutKernels | None:
        """For readouts; None, too, where the provider has none."""
        made: ReadoutKernels | None = self._of("readout", (), True)
        return made


def kernels_for(backend: Backend | Kernels, like: Tensor, table: bool = True) -> Kernels:
    """Kernels for the device and the dtype of a tensor; those that a network has looked up already are given back.

    Parameters
    ----------
    backend
        "auto": of the first provider that can be used, or of what the environment variable MFBENCH_BACKEND names.
    like
        Any tensor of real numbers that they will compute with.
    table
        See :class:`Kernels`.

    Raises
    ------
    ConfigError
        If the backend is unknown.
    """
    return backend if isinstance(backend, Kernels) else kernels_on(backend, like.device, like.dtype, table)


def kernels_on(backend: Backend, device: torch.device, dtype: torch.dtype, table: bool = True) -> Kernels:
    """As :func:`kernels_for`, for a device and a dtype."""
    return _kernels(backend, forced_backend() if backend == "auto" else None, device, dtype, table)


@lru_cache(maxsize=64)
def _kernels(backend: Backend, forced: str | None, device: torch.device, dtype: torch.dtype, table: bool) -> Kernels:
    return Kernels(backend, forced, device, dtype, table)


def expected_backend(backend: str, device: torch.device) -> str:
    """Name the backend that kernels on a device are expected to be of, without making any.

    Parameters
    ----------
    backend
        As in :func:`kernels_for`; a name other than "auto" is taken at its word.
    device
        Where tensors will be.
    """
    name = forced_backend() if backend == "auto" else backend
    if name is not None:
        return name
    fit = (found for found in PROVIDERS if provider(found).device == device.type and obstacle_of(found) is None)
    return next(fit, "reference")
