"""Potentials on disk: a folder with the networks' weights as safetensors, and a header that says what must be found.

The header has the sha256 of every file and its own; it comes last, so that a cut leaves no potential. On reading,
files, keys and types must be those that were written: a potential is the same to the last bit, or refused. The code of
a core is not stored: of one of another package the record has the package and its version, which a message names where
it is not installed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from torch import Tensor

from mfbench.mfcore.core import Core
from mfbench.mfcore.cores.registry import core_from_description
from mfbench.mfcore.errors import ConfigError, DataError
from mfbench.mfcore.files import sha256_of
from mfbench.mfcore.sealed import check_seal, without_nan, write_sealed
from mfbench.mfcore.training.budget import Ledger
from mfbench.mfcore.training.checkpoint import load_tensors, save_tensors
from mfbench.mfcore.training.devices import DTYPES

HEADER = "potential.json"
FORMAT = 2
PACKAGES = "packages"
"""Key of the record: by core, name and version of the other package that brought it."""
_REMEDY = "Copy the folder again from where it is whole, or fit it again."
_CORE_KEYS = ("core", "config", "species", "fidelities", "conditioning", "mean_neighbours")

Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class Weights(BaseModel):
    """A file of weights, in the potential's folder."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    file: Annotated[str, Field(pattern=r"^core_[0-9]+\.safetensors$")]
    sha256: Sha256


class Header(BaseModel):
    """All that a potential is beside its weights; see :class:`mfbench.mfcore.potentials.potential.Potential`.

    Outputs are, by fidelity, the networks that are summed, each a number of `weights` and one of its fidelities.
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    format: Literal[2]
    arm: str
    precision: Literal["float32", "float64"]
    weights: Annotated[list[Weights], Field(min_length=1)]
    outputs: Annotated[dict[str, Annotated[list[tuple[int, str]], Field(min_length=1)]], Field(min_length=1)]
    delta_baseline: dict[str, str]
    ledger: dict[str, Any]
    record: dict[str, Any]
    sha256: Sha256


def write(
    folder: Path,
    cores: Sequence[Core],
    *,
    arm: str,
    outputs: Mapping[str, Sequence[tuple[int, str]]],
    delta_baseline: Mapping[str, str],
    ledger: Ledger,
    record: Mapping[str, Any],
) -> None:
    """Write weights, then the header.

    Raises
    ------
    StorageError
        If the disk is full or cannot be written to.
    """
    weights = []
    for number, core in enumerate(cores):
        path = folder / f"core_{number}.safetensors"
        save_tensors(path, core.state_dict(), core.description())
        weights.append({"file": path.name, "sha256": sha256_of(path)})
    content = {
        "format": FORMAT,
        "arm": arm,
        "precision": next(k for k, v in DTYPES.items() if v == cores[0].dtype),
        "weights": weights,
        "outputs": outputs,
        "delta_baseline": delta_baseline,
        "ledger": ledger.as_dict(),
        "record": record,
    }
    write_sealed(folder / HEADER, without_nan(content))


def read(folder: Path) -> tuple[Header, list[Core], Ledger]:
    """Read what :func:`write` wrote; cores are fixed functions.

    Raises
    ------
    DataError
        If the folder holds no complete potential, or anything is not as it was written: names the file and the key.
    ConfigError
        If a core is not installed or does not know its description.
    """
    path = folder / HEADER
    header = _header(path)
    ledger = _ledger(header, path)
    packages = header.record.get(PACKAGES)
    known = packages if isinstance(packages, dict) else {}
    cores = [_core(folder / weights.file, weights.sha256, header.precision, known) for weights in header.weights]
    for fidelity, terms in header.outputs.items():
        for number, name in terms:
            if not 0 <= number < len(cores) or name not in cores[number].fidelities:
                raise DataError(
                    f"there is no network {number} with fidelity '{name}'.",
                    file=path,
                    key=f"outputs.{fidelity}",
                    hint=_REMEDY,
                )
    return header, cores, ledger


def _header(path: Path) -> Header:
    try:
        text = path.read_text(encoding="utf-8")
        content = json.loads(text)
    except (OSError, ValueError, RecursionError) as error:
        begun = path.parent.with_name(f"{path.parent.name}.partial").is_dir()
        hint = "Its fit was not finished; give the same command again." if begun else "Was it saved by mfbench?"
        raise DataError("no complete potential here.", file=path, hint=hint) from error
    found = content.get("format") if isinstance(content, dict) else None
    if isinstance(found, int) and not isinstance(found, bool) and found != FORMAT:
        raise DataError(
            f"format {found:.40g}, this version of mfbench reads {FORMAT}.",
            file=path,
            key="format",
            hint="Fit it again.",
        )
    try:
        header = Header.model_validate_json(text)
    except ValidationError as error:
        fault = error.errors()[0]
        problems = {"missing": "this key is missing", "extra_forbidden": "no such key is known"}
        raise DataError(
            f"{problems.get(fault['type'], fault['msg'])}.",
            file=path,
            key=".".join(map(str, fault["loc"])) or None,
            hint=_REMEDY,
        ) from error
    check_seal(content, path, "the header of a potential", _REMEDY)
    return header


def _ledger(header: Header, path: Path) -> Ledger:
    try:
        ledger = Ledger.from_dict(header.ledger)
        right = ledger.as_dict() == header.ledger
    except (KeyError, TypeError, AttributeError):
        right = False
    if not right:
        raise DataError("not a ledger as this version of mfbench writes it.", file=path, key="ledger", hint=_REMEDY)
    return ledger


def _core(path: Path, sha256: str, precision: str, packages: Mapping[str, str]) -> Core:
    """A network from its file, of which everything is checked."""
    try:
        found = sha256_of(path)
    except OSError as error:
        raise DataError(f"cannot be read ({error.strerror}).", file=path, hint=_REMEDY) from error
    if found != sha256:
        raise DataError(
            f"not the file that was written: its sha256 differs from that in {HEADER}.", file=path, hint=_REMEDY
        )
    tensors, description = load_tensors(path, hint=_REMEDY)
    description.pop("format")
    for key in _CORE_KEYS:
        if key not in description:
            raise DataError("the network's description lacks this key.", file=path, key=key, hint=_REMEDY)
    try:
        package = packages.get(str(description["core"]), "")
        core = core_from_description(description, package).to(dtype=DTYPES[precision])
    except ConfigError as error:
        raise ConfigError(f"file {path}: {error}") from error
    except (ValidationError, KeyError, TypeError, ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise DataError(f"the network's description cannot be used ({reason}).", file=path, hint=_REMEDY) from error
    differing = _difference(description, json.loads(json.dumps(core.description())))
    if differing is not None:
        raise DataError(
            "the network's description is not one that this version of mfbench writes.",
            file=path,
            key=differing,
            hint=_REMEDY,
        )
    _check_tensors(tensors, core.state_dict(), path)
    core.load_state_dict(tensors)
    return core.freeze()


def _difference(stored: Any, built: Any, place: str = "") -> str | None:
    """Dotted key of the first difference of two JSON values; None if there is none."""
    if isinstance(stored, dict) and isinstance(built, dict):
        for key in sorted({*stored, *built}):
            inner = f"{place}.{key}".lstrip(".")
            if key not in stored or key not in built:
                return inner
            found = _difference(stored[key], built[key], inner)
            if found is not None:
                return found
        return None
    return None if stored == built and isinstance(stored, bool) == isinstance(built, bool) else place


def _check_tensors(tensors: Mapping[str, Tensor], wanted: Mapping[str, Tensor], path: Path) -> None:
    """Raise DataError if weights are not those of the network, by name, shape and type, or not all are finite."""
    for name in sorted({*tensors, *wanted}):
        if name not in wanted or name not in tensors:
            problem = "the network has no such tensor" if name in tensors else "this tensor is missing"
            raise DataError(f"{problem}.", file=path, key=name, hint=_REMEDY)
        found, right = tensors[name], wanted[name]
        if found.shape != right.shape or found.dtype != right.dtype:
            raise DataError(
                f"expected {right.dtype} {tuple(right.shape)}, found {found.dtype} {tuple(found.shape)}.",
                file=path,
                key=name,
                hint=_REMEDY,
            )
        if not torch.isfinite(found).all():
            raise DataError("not all of its numbers are finite.", file=path, key=name, hint=_REMEDY)
