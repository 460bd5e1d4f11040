r"""Accuracy of the core beside its peers: the same frames, passes, loss, schedule and number of parameters.

The comparison trains every contender on energies and forces (CCSD(T)-F12) of H2CO with one training loop, each
with the learning rate that is best for it on the validation frames, and scores all on the same 1000 test frames.

Example:

\b
    python -m venv peers && peers/bin/pip install torch==2.13.0 nequip sevenn matscipy
    peers/bin/pip install --no-deps mace-torch
    peers/bin/pip install torch-ema prettytable python-hostlist configargparse
    peers/bin/pip install GitPython h5py lmdb orjson torchmetrics
    python -m mfbench.benchmarks.performance.parity --python peers/bin/python

A training that is in the results file is not run again; --table-only prints the table of what is there.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from mfbench.benchmarks.performance.contenders.base import Network, contender_names
from mfbench.benchmarks.performance.parity.settings import Training

_WIDTH = 150
_DEFAULT_OUT = Path("results/performance/parity.json")
_SHAPE = ("cutoff", "lmax", "n_bessel", "n_layers", "channels", "radial_hidden")
PEERS = [name for name in contender_names() if name != "mfcore"]


def interpreters_of(given: list[str]) -> dict[str, str]:
    """Read ``PATH`` (every peer's Python) and ``NAME=PATH`` (one contender's) into Python by contender.

    Raises
    ------
    ConfigError
        If a name is no contender or a path is no file.
    """
    from mfbench.mfcore.errors import ConfigError

    found: dict[str, str] = {}
    for entry in sorted(given, key=lambda e: "=" in e):  # a named one wins over the common one
        name, _, path = entry.rpartition("=")
        if name and name not in contender_names():
            raise ConfigError(f"--python {entry}: no contender '{name}'; there are {', '.join(contender_names())}.")
        if not Path(path).is_file():
            raise ConfigError(f"--python {entry}: '{path}' is not a Python interpreter.")
        # not resolved: a virtual environment is recognised by the path of its link
        found.update(dict.fromkeys([name] if name else PEERS, str(Path(path).absolute())))
    return found


def core_settings_of(given: list[str]) -> dict[str, Any]:
    """Read ``NAME=VALUE`` settings of the core; those that are its defaults are left out.

    Raises
    ------
    ConfigError
        If one is written otherwise, belongs to the shape that all contenders share, or is no setting of the core.
    """
    from pydantic import ValidationError

    from mfbench.mfcore.cores.equivariant.config import EquivariantConfig
    from mfbench.mfcore.errors import ConfigError

    values = {}
    for entry in given:
        name, equals, value = entry.partition("=")
        if not equals or name in _SHAPE:
            reason = "expected NAME=VALUE" if not equals else "the comparison chooses the shape"
            raise ConfigError(f"--core {entry}: {reason}.")
        values[name] = value
    try:
        return EquivariantConfig.model_validate(values).model_dump(mode="json", exclude_defaults=True)
    except ValidationError as error:
        first = error.errors()[0]
        raise ConfigError(f"--core {'.'.join(map(str, first['loc']))}: {first['msg']}.") from None


def main(
    frames: Annotated[int, typer.Option(help="Training frames.")] = 400,
    draw: Annotated[int, typer.Option(help="Which training and validation frames.")] = 0,
    epochs: Annotated[int, typer.Option(help="Passes through the training frames.")] = Training.epochs,
    batch: Annotated[int, typer.Option(help="Frames per optimiser step.")] = Training.batch_frames,
    contender: Annotated[list[str] | None, typer.Option(help="Repeatable; all by default.")] = None,
    learning_rate: Annotated[list[float] | None, typer.Option(help="Repeatable; by default 0.01 and 0.005.")] = None,
    seed: Annotated[list[int] | None, typer.Option(help="Repeatable; by default 0, 1 and 2.")] = None,
    cutoff: Annotated[float, typer.Option(help="Å.")] = Network.cutoff,
    lmax: Annotated[int, typer.Option(help="Highest degree of harmonics and features.")] = Network.lmax,
    core: Annotated[
        list[str] | None, typer.Option(help="Setting of the core as NAME=VALUE, such as readout_scale=0.3; repeatable.")
    ] = None,
    python: Annotated[
        list[str] | None,
        typer.Option(help="Interpreter of the peers (PATH) or of one contender (NAME=PATH); repeatable."),
    ] = None,
    threads: Annotated[int, typer.Option(help="Threads of each training.")] = 1,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Try failed trainings again.")] = False,
    table_only: Annotated[bool, typer.Option("--table-only", help="Train nothing; show the stored results.")] = False,
    out: Annotated[Path, typer.Option(help="Results file; finished trainings in it are kept.")] = _DEFAULT_OUT,
) -> None:
    """Train, print the table, and say whether the core is within 10 % of the best peer."""
    from rich.console import Console

    from mfbench.benchmarks.performance.parity.data import h2co_frames
    from mfbench.benchmarks.performance.parity.execute import compare, stored
    from mfbench.benchmarks.performance.parity.report import rows_of, table_of, verdict, versions_of
    from mfbench.mfcore.errors import MfbenchError

    chosen = contender or contender_names()
    unknown = [name for name in chosen if name not in contender_names()]
    if unknown:
        raise typer.BadParameter(f"no contender '{unknown[0]}'; there are {', '.join(contender_names())}")
    console = Console()
    if not console.is_terminal:
        console = Console(width=_WIDTH)  # a file has no width; a table must not be cut for it
    try:
        network, training = Network(cutoff=cutoff, lmax=lmax), Training(epochs=epochs, batch_frames=batch)
        rates, seeds, settings = learning_rate or [0.01, 0.005], seed or [0, 1, 2], core_settings_of(core or [])
        if table_only:
            runs = stored(chosen, network, training, rates, seeds, out, settings)
        else:
            data = h2co_frames(frames, draw)
            pythons = interpreters_of(python or [])
            runs = compare(chosen, data, network, training, rates, seeds, out, pythons, threads, retry_failed, settings)
    except MfbenchError as error:
        console.print(f"[red]error:[/red] {error}")
        raise typer.Exit(2) from None
    rows = rows_of(runs)
    if not runs:
        console.print("No stored training is of the present code and these options.")
        return
    console.print(table_of(rows, epochs, runs[-1]["n_frames"]))
    for run in runs:
        if run["status"] != "ok":
            job = run["job"]
            console.print(f"failed: {job['contender']}, learning rate {job['learning_rate']:g}: {run['reason']}")
    console.print(versions_of(rows), markup=False, highlight=False)
    passed, sentence = verdict(rows)
    console.print(sentence)
    if passed is False:
        raise typer.Exit(1)


if __name__ == "__main__":
    app = typer.Typer(add_completion=False, rich_markup_mode=None)
    app.command(help=(__doc__ or "").replace("\\b", "\b"))(main)
    app()
