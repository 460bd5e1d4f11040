"""The network of a fitted potential as a starting point, for other elements, fidelities and conditioning."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import torch
from ase.data import chemical_symbols
from torch import Tensor

from mfbench.mfcore.core import Checkpoint, Core
from mfbench.mfcore.cores.equivariant.config import EquivariantConfig
from mfbench.mfcore.errors import ConfigError
from mfbench.mfcore.potentials import stored

_KEY = "key 'checkpoint'"
_ENERGIES = ("reference", "scale", "reference_shift")


def network_of(checkpoint: Checkpoint, name: str) -> tuple[Core, str]:
    """Return the network of a potential, and the fidelity as which it is evaluated.

    Parameters
    ----------
    checkpoint
        Folder of a potential, and the fidelity to start from; "" is its target.
    name
        Of the core that asks.

    Raises
    ------
    ConfigError
        If the potential is of another core, has no such fidelity, or adds several networks or labels for it.
    DataError
        If the folder holds no complete potential.
    """
    folder = checkpoint.path
    header = folder / stored.HEADER
    if not header.is_file():
        raise ConfigError(f"core '{name}', {_KEY}: {folder} is no folder of a potential that mfbench fit wrote.")
    cores, outputs, baselines = _read(folder.resolve(), header.stat().st_mtime_ns)
    fidelity = checkpoint.part or list(outputs)[-1]
    if fidelity not in outputs:
        raise ConfigError(f"core '{name}', {_KEY}: {folder} has no fidelity '{fidelity}', only {', '.join(outputs)}.")
    terms = outputs[fidelity]
    if len(terms) > 1 or fidelity in baselines:
        raise ConfigError(
            f"core '{name}', {_KEY}: the answers of {folder} for '{fidelity}' are sums (Δ-learning), and a network "
            "starts from one function; give a potential of another arm."
        )
    number, own = terms[0]
    if cores[number].name != name:
        raise ConfigError(
            f"core '{name}', {_KEY}: {folder} is of core '{cores[number].name}'; give --core {cores[number].name}."
        )
    return cores[number], own


@lru_cache(maxsize=4)
def _read(folder: Path, changed: int) -> tuple[list[Core], dict[str, list[tuple[int, str]]], dict[str, str]]:
    header, cores, _ = stored.read(folder)
    return cores, header.outputs, header.delta_baseline


@torch.no_grad()
def start_as(made: Core, source: Core, fidelity: str) -> None:
    """Give all fidelities of a network the function that another one of its shape has for one of its own.

    Parameters
    ----------
    made
        The network, with some of the source's elements.
    source
        One without conditioning, or with heads.

    Raises
    ------
    ConfigError
        If it lacks an element, or is conditioned otherwise.
    """
    if odd := [chemical_symbols[z] for z in made.species if z not in source.species]:
        raise ConfigError(f"core '{made.name}', {_KEY}: the potential was not trained on {', '.join(odd)}.")
    if source.conditioning not in ("none", "heads"):
        raise ConfigError(
            f"core '{made.name}', {_KEY}: its network has conditioning '{source.conditioning}', and one can start from "
            "'none' or 'heads'; give a potential of another arm (single_fidelity, transfer, multi_head)."
        )
    rows = [source.species.index(z) for z in made.species]
    assert isinstance(source.config, EquivariantConfig)
    row, heads = source.row(fidelity), len(source.fidelities) if source.conditioning == "heads" else 1
    head = row if heads > 1 else 0
    own, state = source.state_dict(), made.state_dict()
    n_matrices = len(source.species) if source.config.self_connection == "species" else 1
    for name, value in state.items():
        if name in _ENERGIES:
            continue
        if ".bias_" in name:
            value.zero_()  # all fidelities start alike
        elif name != "fidelity_vectors":
            value.copy_(_part(name, own[name], rows, n_matrices, heads, head, value.shape))
    for known in made.fidelities:
        made.set_reference(known, (source.reference[row] + source.reference_shift[row].double())[rows].cpu().numpy())
        made.set_scale(known, source.scale[row][rows].cpu().numpy())


def _part(
    name: str, value: Tensor, rows: Sequence[int], n_matrices: int, heads: int, head: int, shape: torch.Size
) -> Tensor:
    """The part of a tensor that some elements and one head have, in the shape of the other network's."""
    if name == "embedding":
        return value[list(rows)]
    if ".self_connection." in name and n_matrices > 1:  # the matrices of all elements side by side
        return value.view(value.shape[0], n_matrices, -1)[:, list(rows)].reshape(value.shape[0], -1)
    if name == "readout.hidden":
        one = value.view(value.shape[0], heads, -1)[:, head]
        return one.repeat(1, shape[1] // one.shape[1])
    if name == "readout.out":  # a column, or a row of each head
        one = (value[head] if heads > 1 else value.flatten())[None]
        return one.T if shape[1] == 1 and shape[0] == one.shape[1] else one.expand(shape)
    return value
