"""The core's kernels on a GPU: whether they are right and repeat, and their speed beside plain torch's.

``python -m mfbench.benchmarks.performance.gpu_check`` prints two tables; ``--out FILE`` keeps them as JSON. It ends
with 0 if all checks hold, 1 if one does not, and 3 on a machine without a GPU that the kernels are for.

Checks compare a whole training step (energies, forces, stress, and the parameter gradients of a loss on them) with
plain torch in float64 on the same device. In float32 the error may be as large as a few times that of plain torch in
float32. Times are of energies, energies with forces (both frozen), and a training step without the optimiser; both
backends by turns, medians over rounds.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, NamedTuple

from mfbench.benchmarks.performance.harness.rounds import ratio_of
from mfbench.benchmarks.performance.harness.store import write_json
from mfbench.benchmarks.performance.measure import origin, spent
from mfbench.benchmarks.performance.workloads import argyrodite, ethanols, workload

if TYPE_CHECKING:
    import torch
    from ase import Atoms

    from mfbench.mfcore.cores.equivariant.model import EquivariantCore
    from mfbench.mfcore.data.batch import Batch

NO_DEVICE = 3  # exit code
SPECIES = (1, 3, 6, 8, 15, 16, 17)
#: Largest difference in float64, relative to the largest number of the same tensor.
TOLERANCE = 1e-10
#: In float32, in units of what plain torch in float32 is off.
TIMES_REFERENCE = 4.0
_ROUNDING = 1e-6


class Check(NamedTuple):
    """One comparison: `value` is at most `bound`."""

    name: str
    value: float
    bound: float

    @property
    def holds(self) -> bool:
        """True if it is; False for NaN."""
        return self.value <= self.bound


class Size(NamedTuple):
    """Shape of a network."""

    channels: int = 32
    n_layers: int = 3
    lmax: int = 2


def core(size: Size, backend: str, device: str, dtype: torch.dtype) -> EquivariantCore:
    """Return an untrained network, the same for all backends, devices and dtypes."""
    import torch

    from mfbench.mfcore.cores.equivariant.config import EquivariantConfig
    from mfbench.mfcore.cores.equivariant.model import EquivariantCore

    torch.manual_seed(0)
    config = EquivariantConfig(**size._asdict(), backend=backend)
    made = EquivariantCore(config, SPECIES, ("low", "high"), "one_hot", 28.0)
    return made.to(device=device, dtype=dtype)


def batch_of(frames: Sequence[Atoms], device: str, dtype: torch.dtype) -> Batch:
    """Return frames as one graph."""
    import numpy as np

    from mfbench.mfcore.cores.equivariant.config import EquivariantConfig
    from mfbench.mfcore.data.graphs import GraphStore

    store = GraphStore(frames, ["high"] * len(frames), ("low", "high"), None, SPECIES, EquivariantConfig().cutoff)
    return store.batch(np.arange(len(frames))).to(device, dtype)


def step(network: EquivariantCore, batch: Batch, stress: bool = True) -> dict[str, torch.Tensor]:
    """Return energies, forces, stress, and the gradients of a loss on them."""
    import torch

    found = network(batch, stress=stress, create_graph=True)
    assert found.forces is not None
    made = {"energy": found.energy, "forces": found.forces}
    if found.stress is not None:
        made["stress"] = found.stress.nan_to_num()
    loss = torch.stack([value.square().mean() for value in made.values()]).sum()
    parameters = {name: p for name, p in network.named_parameters() if p.requires_grad}
    for parameter in parameters.values():
        parameter.grad = None
    loss.backward(inputs=list(parameters.values()))
    gradients = {f"gradient of {name}": p.grad for name, p in parameters.items() if p.grad is not None}
    return {name: value.detach() for name, value in (made | gradients).items()}


def difference(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> float:
    """Return the largest difference of any tensor, relative to its largest number; NaN if there is one."""
    worst = 0.0
    for name, value in expected.items():
        if value.numel() == 0:
            continue
        size = max(float(value.abs().max()), 1e-30)
        error = float((found[name].to(value.dtype) - value).abs().max()) / size
        worst = error if not error <= worst else worst
    return worst


def checks(backend: str, device: str, degrees: Sequence[int] = (1, 2, 3), channels: int = 20) -> list[Check]:
    """Return all comparisons; 20 channels do not fill their block."""
    import torch
    from ase import Atoms

    made = []
    frames = [argyrodite(primitive=True), Atoms("O"), *ethanols(2)]
    for lmax in degrees:
        size = Size(channels, 2, lmax)
        steps = {
            (name, dtype): step(core(size, name, device, dtype), batch_of(frames, device, dtype))
            for name in (backend, "reference")
            for dtype in (torch.float32, torch.float64)
        }
        expected = steps["reference", torch.float64]
        made.append(Check(f"lmax {lmax}, float64", difference(steps[backend, torch.float64], expected), TOLERANCE))
        bound = TIMES_REFERENCE * difference(steps["reference", torch.float32], expected) + _ROUNDING
        made.append(Check(f"lmax {lmax}, float32", difference(steps[backend, torch.float32], expected), bound))
        made.append(Check(f"lmax {lmax}, repeats", repetition(size, backend, device), 0.0))
    made.append(Check("neighbour lists", neighbours([*frames, argyrodite()], device), 0.0))
    if device.startswith("cuda"):
        made += [Check(name, waiting(call), 0.0) for name, call in steady_calls(frames, backend, device).items()]
    return made


def steady_calls(frames: Sequence[Atoms], backend: str, device: str) -> dict[str, Callable[[], object]]:
    """Return what training and dynamics do again and again, each as a call that must not wait for the device."""
    import torch

    network = core(Size(20, 2, 2), backend, device, torch.float32)
    batch = batch_of(frames, device, torch.float32)
    parameters = [p for p in network.parameters() if p.requires_grad]
    optimizer = torch.optim.Adam(parameters, fused=True)
    frozen = network.for_inference(network.fidelities[0])

    def train() -> None:
        step(network, batch)
        torch.nn.utils.clip_grad_norm_(parameters, 10.0)
        optimizer.step()

    return {"a training step waits": train, "forces of dynamics wait": lambda: frozen(batch)}


def waiting(call: Callable[[], object]) -> float:
    """Return 1 if a call makes the host wait for a CUDA device, else 0; an earlier one, which compiles, may."""
    import torch

    call()
    torch.cuda.set_sync_debug_mode("error")
    try:
        call()
    except RuntimeError as fault:
        if "synchroniz" not in str(fault):
            raise
        return 1.0
    finally:
        torch.cuda.set_sync_debug_mode("default")
    return 0.0


def repetition(size: Size, backend: str, device: str) -> float:
    """Return by how much a convolution and its first and second derivatives differ in a second evaluation."""
    import torch

    from mfbench.mfcore.cores.equivariant.layers import Interaction
    from mfbench.mfcore.ops.convolution.op import convolve
    from mfbench.mfcore.ops.edges import Edges
    from mfbench.mfcore.ops.geometry.op import edge_geometry

    network = core(size, backend, device, torch.float32)
    layer = network.layers[1]
    assert isinstance(layer, Interaction)
    paths, radial = layer.instructions, layer.radial
    batch = batch_of([argyrodite()], device, torch.float32)
    place = batch.positions.index_select(0, batch.sender) - batch.positions.index_select(0, batch.receiver)
    generator = torch.Generator().manual_seed(0)
    n = batch.positions.shape[0]
    shapes = [(n, 2 * degree + 1, channels) for degree, _, channels in paths.input]
    features = [torch.randn(shape, generator=generator).to(device).requires_grad_() for shape in shapes]

    def evaluate() -> dict[str, torch.Tensor]:
        vectors = (place + batch.shift).requires_grad_()
        edges = Edges(n, batch.sender, batch.receiver, batch.row_pointer)
        geometry = edge_geometry(vectors, edges, paths.lmax, radial.settings, backend)  # type: ignore[arg-type]
        table = radial(geometry)
        outputs = convolve(paths, features, geometry, table, backend)  # type: ignore[arg-type]
        value = torch.stack([output.sin().sum() for output in outputs]).sum()
        (forces,) = torch.autograd.grad(value, vectors, create_graph=True)
        gradients = torch.autograd.grad(forces.square().sum() + value, [*features, table.values])
        return {str(k): tensor.detach() for k, tensor in enumerate([*outputs, forces, *gradients])}

    return difference(evaluate(), evaluate())


def neighbours(frames: Sequence[Atoms], device: str) -> float:
    """Return how many edges of lists made on the device are not those of the CPU's lists; shifts may be rounded."""
    import torch

    from mfbench.mfcore.data.device_neighbours import neighbour_lists_of

    expected = batch_of(frames, "cpu", torch.float64)
    found = neighbour_lists_of(frames, 5.0, device)
    if found.sender.shape != expected.sender.shape:
        return float(abs(found.sender.shape[0] - expected.sender.shape[0]))
    wrong = (found.sender.cpu() != expected.sender) | (found.receiver.cpu() != expected.receiver)
    wrong |= ~((found.shift.cpu() - expected.shift).abs().amax(1) < 1e-9)
    return float(wrong.sum())


def timings(backend: str, device: str, frames: Sequence[Atoms], size: Size, rounds: int) -> list[dict[str, Any]]:
    """Return wall times of the kernels and of plain torch, in float32."""
    import torch

    batch = batch_of(frames, device, torch.float32)
    calls: dict[str, dict[str, Callable[[], Any]]] = {}
    for name in (backend, "reference"):
        network = core(size, name, device, torch.float32)
        frozen = core(size, name, device, torch.float32).freeze().for_inference("high")
        calls[name] = {
            "energies": partial(frozen, batch, forces=False),
            "energies and forces": partial(frozen, batch),
            "training step": partial(step, network, batch, stress=False),
        }

    def timed(call: Callable[[], Any]) -> float:
        def whole() -> None:
            call()
            if device != "cpu":
                torch.cuda.synchronize()

        return 1e3 * spent(whole).wall_s

    made = []
    for what in calls[backend]:
        first = {name: timed(calls[name][what]) for name in calls}  # compiles
        times: dict[str, list[float]] = {name: [] for name in calls}
        for _ in range(rounds):
            for name in calls:
                times[name].append(timed(calls[name][what]))
        made.append(
            {
                "what": what,
                "kernels_ms": median(times[backend]),
                "reference_ms": median(times["reference"]),
                **ratio_of(times["reference"], times[backend]).as_dict(),
                "first_kernels_ms": first[backend],
            }
        )
    return made


def tables(found: Sequence[Check], times: Sequence[dict[str, Any]], title: str) -> str:
    """Return both tables as text."""
    lines = ["check                     difference       bound"]
    lines += [
        f"{check.name:24s}  {check.value:10.1e}  {check.bound:10.1e}  {'holds' if check.holds else 'FAILS'}"
        for check in found
    ]
    lines += [
        "",
        title,
        "                       kernels  reference   ratio (min-max)",
        "                            ms         ms",
    ]
    lines += [
        f"{line['what']:20s}  {line['kernels_ms']:8.2f}   {line['reference_ms']:8.2f}   {line['ratio']:5.2f} "
        f"({line['ratio_min']:.2f}-{line['ratio_max']:.2f})"
        for line in times
    ]
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(prog="python -m mfbench.benchmarks.performance.gpu_check", description=__doc__)
    parser.add_argument("--workload", default="crystal:416", help="what to time (default crystal:416)")
    parser.add_argument("--channels", type=int, default=32, help="channels of the timed network (default 32)")
    parser.add_argument("--layers", type=int, default=3, help="layers of the timed network (default 3)")
    parser.add_argument("--lmax", type=int, default=2, help="degree of the timed network (default 2)")
    parser.add_argument("--rounds", type=int, default=20, help="both backends by turns (default 20)")
    parser.add_argument("--out", type=Path, help="file for the results, JSON")
    options = parser.parse_args(arguments)

    import torch

    from mfbench.mfcore.backends.select import provider

    kernels = provider("triton")
    obstacle = kernels.obstacle()
    if obstacle is not None or kernels.device != "cuda":
        print(f"nothing to check on this machine: {obstacle or 'Triton interprets its kernels on the CPU.'}")
        sys.exit(NO_DEVICE)
    frames, size = workload(options.workload), Size(options.channels, options.layers, options.lmax)
    found = checks("triton", "cuda")
    times = timings("triton", "cuda", frames, size, options.rounds)
    name = torch.cuda.get_device_name()
    print(tables(found, times, f"{name}, {options.workload}, {size.n_layers} layers, lmax {size.lmax}, float32"))
    if options.out is not None:
        write(options.out, found, times, {"device": name, "workload": options.workload, "network": size._asdict()})
    sys.exit(0 if all(check.holds for check in found) else 1)


def write(path: Path, found: Sequence[Check], times: Sequence[dict[str, Any]], about: dict[str, Any]) -> None:
    """Keep the results as JSON."""
    content = {
        **origin(("torch", "triton", "e3nn")),
        **about,
        "checks": [check._asdict() | {"holds": check.holds} for check in found],
        "times": list(times),
    }
    write_json(path, content)


if __name__ == "__main__":
    main()
