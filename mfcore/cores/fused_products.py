"""Tensor products of peers' networks and their sum over neighbours, by kernels of other packages where these help.

The networks of SevenNet, MACE and NequIP spend most of their time in one operation: e3nn's tensor product of the
features of a neighbour with the harmonics of an edge, weighted by the edge's radial network, and its sum over the
neighbours. It has no weights of its own, so that what computes it can be exchanged without touching a network's state.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from types import MethodType
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from mfbench.mfcore.errors import ConfigError

Inputs = tuple[Tensor, Tensor, Tensor]
"""Features (A, ·), harmonics (E, ·) and weights (E, ·)."""
Plain = Callable[[Tensor, Tensor, Tensor], Tensor]
Kernel = Callable[[Tensor, Tensor, Tensor, Tensor, Tensor], Tensor]
"""Features, harmonics, weights, receivers and senders to sums, (A, ·)."""

VARIABLE = "MFBENCH_PEER_KERNELS"
PACKAGES = {
    "openequivariance": ("openequivariance",),
    "cuequivariance": ("cuequivariance_torch", "sevenn"),
    "flashtp": ("flashTP_e3nn",),
}
"""Import packages that each needs, in the order in which they are tried; sevenn has the sums for cuEquivariance."""
DEVICES: tuple[str, ...] = ("cuda",)
"""Kinds of devices that they have kernels for."""
PLAIN = "e3nn"
TOLERANCE = {torch.float32: 1e-4, torch.float64: 1e-9}


@dataclass(frozen=True)
class Product:
    """A tensor product: its irreps as text, and (first, second, output, mode, weighted) of each path.

    Attributes
    ----------
    verdicts
        Of this process: what computes a product in a dtype on a kind of device, and why.
    """

    first: str
    second: str
    output: str
    paths: tuple[tuple[int, int, int, str, bool], ...]

    verdicts: ClassVar[dict[tuple[Product, torch.dtype, str], tuple[str, str]]] = {}

    @classmethod
    def of(cls, product: Any) -> Product:
        """Describe one of e3nn."""
        paths = tuple((i.i_in1, i.i_in2, i.i_out, i.connection_mode, i.has_weight) for i in product.instructions)
        return cls(str(product.irreps_in1), str(product.irreps_in2), str(product.irreps_out), paths)

    def summed(self, plain: Plain, inputs: Inputs, receiver: Tensor, sender: Tensor) -> Tensor:
        """Compute it by what has been found to be right and the fastest; it is found out at the first call."""
        found = self.verdicts.get((self, inputs[0].dtype, inputs[0].device.type))
        if found is None:
            found = _find(self, plain, inputs, receiver, sender)
            self.verdicts[self, inputs[0].dtype, inputs[0].device.type] = found
        if found[0] == PLAIN:
            return plain(*inputs)
        return _kernel(found[0], self, inputs[0].dtype)(*inputs, receiver, sender)


def installed() -> tuple[str, ...]:
    """Names of the kernels whose packages are installed, or that one of them which the environment asks for.

    Raises
    ------
    ConfigError
        If the environment asks for one that is not installed, or that there is not.
    """
    there = tuple(name for name, packages in PACKAGES.items() if all(map(find_spec, packages)))
    asked = os.environ.get(VARIABLE, "auto")
    if asked == "auto":
        return there
    if asked == PLAIN:
        return ()
    if asked not in there:
        state = "not installed" if asked in PACKAGES else "unknown"
        raise ConfigError(f"{VARIABLE}={asked}: it is {state}; give auto, {PLAIN} or one of {', '.join(PACKAGES)}.")
    return (asked,)


def wanted(features: Tensor, sender: Tensor) -> bool:
    """Say whether a kernel may take the place of e3nn's product here."""
    return features.device.type in DEVICES and sender.numel() > 0 and bool(installed())


def fuse(network: nn.Module) -> None:
    """Let kernels that there are compute the products of a peer's network; on other devices nothing changes."""
    for module in network.modules():
        kind, block = type(module).__name__, dict(module.named_children())
        if kind == "IrrepsConvolution":
            _bind(module, module, block["convolution"], _sevennet)
        elif kind == "TensorProductScatter":
            _bind(module, module, block["tp"], _nequip)
        elif type(block.get("conv_tp")).__name__ == "TensorProduct" and not hasattr(module, "conv_fusion"):
            setattr(module, "conv_fusion", True)  # noqa: B010  the block then leaves the sum to its product
            _bind(block["conv_tp"], block["conv_tp"], block["conv_tp"], _mace)


def used_by(network: nn.Module) -> str:
    """Say what has computed the products of a network, with the reasons; "" for one that has none."""
    products = {found for m in network.modules() if (found := m.__dict__.get("fused_product")) is not None}
    if not products:
        return ""
    known = [verdict for key, verdict in Product.verdicts.items() if key[0] in products]
    if not known:
        why = "none is installed" if not installed() else f"only on {', '.join(DEVICES)}"
        return f"{PLAIN} (of {', '.join(PACKAGES)} {why})"
    return "; ".join(dict.fromkeys(f"{name} ({reason})" for name, reason in known))


def report() -> str:
    """Say which kernels this installation has for the networks of other packages."""
    found = installed()
    if not found:
        return f"{PLAIN}; of {', '.join(PACKAGES)} none is installed"
    return f"{' or '.join(found)} on {', '.join(DEVICES)} where it is right and faster, else {PLAIN}"


def _bind(target: Any, module: Any, product: Any, forward: Callable[..., Any]) -> None:
    module.fused_product = Product.of(product)
    target.forward = MethodType(forward, target)


def _sevennet(self: Any, data: dict[str, Tensor]) -> dict[str, Tensor]:
    """In place of IrrepsConvolution.forward."""
    receiver, sender = data[self.key_edge_idx]
    features = data[self.key_x]
    if not wanted(features, sender):
        result: dict[str, Tensor] = type(self).forward(self, data)
        return result

    def plain(features: Tensor, harmonics: Tensor, weights: Tensor) -> Tensor:
        messages = self.convolution(features[sender], harmonics, weights)
        return _sum(messages, receiver, len(features))

    inputs = (features, data[self.key_filter], self.weight_nn(data[self.key_weight_input]))
    data[self.key_x] = self.fused_product.summed(plain, inputs, receiver, sender).div(self.denominator)
    return data


def _nequip(self: Any, x: Tensor, edge_attr: Tensor, edge_weight: Tensor, edge_dst: Tensor, edge_src: Tensor) -> Tensor:
    """In place of TensorProductScatter.forward."""
    if not wanted(x, edge_src):
        result: Tensor = type(self).forward(self, x, edge_attr, edge_weight, edge_dst, edge_src)
        return result

    def plain(features: Tensor, harmonics: Tensor, weights: Tensor) -> Tensor:
        return _sum(self.tp(features[edge_src], harmonics, weights), edge_dst, len(features))

    found: Tensor = self.fused_product.summed(plain, (x, edge_attr, edge_weight), edge_dst, edge_src)
    return found


def _mace(self: Any, features: Tensor, harmonics: Tensor, weights: Tensor, edge_index: Tensor) -> Tensor:
    """In place of the product of an interaction of MACE, with the sum behind it."""
    sender, receiver = edge_index

    def plain(features: Tensor, harmonics: Tensor, weights: Tensor) -> Tensor:
        messages = type(self).forward(self, features[sender], harmonics, weights)
        return _sum(messages, receiver, len(features))

    if not wanted(features, sender):  # as mace itself sums, to the last digit
        messages: Tensor = type(self).forward(self, features[sender], harmonics, weights)
        zeros = messages.new_zeros(len(features), messages.shape[1])
        return zeros.scatter_add_(0, receiver[:, None].expand_as(messages), messages)
    found: Tensor = self.fused_product.summed(plain, (features, harmonics, weights), receiver, sender)
    return found


def _sum(messages: Tensor, receiver: Tensor, n_atoms: int) -> Tensor:
    return messages.new_zeros(n_atoms, messages.shape[1]).index_add(0, receiver, messages)


@lru_cache(maxsize=256)
def _kernel(name: str, product: Product, dtype: torch.dtype) -> Kernel:
    """Make a kernel of another package."""
    from e3nn import o3

    if name == "openequivariance":
        import openequivariance as oeq

        kind = oeq.torch_to_oeq_dtype(dtype)
        irreps = tuple(map(o3.Irreps, (product.first, product.second, product.output)))
        problem = oeq.TPProblem(
            *irreps,
            list(product.paths),
            irrep_dtype=kind,
            weight_dtype=kind,
            shared_weights=False,
            internal_weights=False,
        )
        convolution: Kernel = oeq.TensorProductConv(problem, torch_op=True, deterministic=False)
        return convolution
    if name == "flashtp":
        from flashTP_e3nn import uvu_TP

        irreps = tuple(map(o3.Irreps, (product.first, product.second, product.output)))
        flash = uvu_TP(*irreps, list(product.paths), use_lammps=False)
        return lambda x, y, w, to, of: flash(x, y, w, of.to(torch.int32), to.to(torch.int32))
    import cuequivariance as cue
    from sevenn.nn.cue_helper import O3_e3nn, cueq_fused_scatter_channelwise_conv

    parts = [cue.Irreps(O3_e3nn, text) for text in (product.first, product.second, product.output)]
    fused = cueq_fused_scatter_channelwise_conv(*parts, tp_method="uniform_1d")
    return lambda x, y, w, to, of: fused(x, y, w, of, to)


def _find(product: Product, plain: Plain, inputs: Inputs, receiver: Tensor, sender: Tensor) -> tuple[str, str]:
    """Find the fastest way that agrees with e3nn in values, gradients and second derivatives, and the reason."""
    expected, best = _timed(plain, inputs)
    chosen, reasons = PLAIN, []
    for name in installed():
        try:
            kernel = _kernel(name, product, inputs[0].dtype)
            found, seconds = _timed(lambda *given, kernel=kernel: kernel(*given, receiver, sender), inputs)
        except Exception as error:  # another package's code may raise anything
            reasons.append(f"{name} failed: {' '.join(f'{type(error).__name__}: {error}'.split())[:100]}")
            continue
        if not _agree(found, expected):
            reasons.append(f"{name} is not e3nn's product")
        elif seconds >= best:
            reasons.append(f"{name} is slower")
        else:
            chosen, best = name, seconds
    faster = [f"faster than {PLAIN}"] if chosen != PLAIN else []
    return chosen, "; ".join([*faster, *reasons])


def _timed(call: Plain, inputs: Inputs) -> tuple[list[Tensor], float]:
    """Values, gradients and second derivatives, and the time of the second pass (the first may compile)."""
    given = [value.detach().clone().requires_grad_() for value in inputs]
    seconds = 0.0
    for _ in range(2):
        _wait(given[0])
        start = time.perf_counter()
        with torch.enable_grad():
            value = call(*given)
            first = torch.autograd.grad(value.square().sum(), given, create_graph=True)
            second = torch.autograd.grad(torch.stack([part.square().sum() for part in first]).sum(), given)
        _wait(given[0])
        seconds = time.perf_counter() - start
    return [part.detach() for part in (value, *first, *second)], seconds


def _agree(found: Sequence[Tensor], expected: Sequence[Tensor]) -> bool:
    return all(
        a.shape == b.shape and float((a - b).abs().max()) <= TOLERANCE.get(b.dtype, 1e-4) * float(b.abs().max()) + 1e-12
        for a, b in zip(found, expected, strict=True)
    )


def _wait(value: Tensor) -> None:
    if value.is_cuda:
        torch.cuda.synchronize(value.device)
