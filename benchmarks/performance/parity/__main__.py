r"""Accuracy of the core beside its peers: the same frames, passes, loss, schedule and number of parameters.

The comparison trains every contender on energies and forces (CCSD(T)-F12) of H2CO with one training loop, each
with the learning rate that is best for it on the validation frames, and scores all on the same 1000 test frames.

Example:

\b
    python -m venv peers && peers/bin/pip install torch==2.13.0 -e '.[nequip,sevennet]' matscipy
    peers/bin/pip install --no-deps mace-torch
    peers/bin/pip install torch-ema prettytable python-hostlist configargparse
    peers/bin/pip install GitPython h5py lmdb orjson torchmetrics
    python -m mfbench.benchmarks.performance.parity --python peers/bin/python

A training that is in the results file is not run again; --table-only prints the table of what is there.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from mfbench.benchmarks.performance.contenders.base import Network
from mfbench.benchmarks.performance.contenders.registry import CORE, TRAINED
from mfbench.benchmarks.performance.harness import command
from mfbench.benchmarks.performance.parity.settings import Comparison, Training

_DEFAULT_OUT = Path("results/performance/parity.json")
_SHAPE = ("cutoff", "lmax", "n_bessel", "n_layers", "channels", "radial_hidden")


def core_settings_of(given: Sequence[str]) -> dict[str, Any]:
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
    draw: Annotated[int, typer.Option(help="Draw of the training and validation frames.")] = 0,
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
    python: command.Pythons = None,
    threads: Annotated[int, typer.Option(help="Threads of each training.")] = 1,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Try failed trainings again.")] = False,
    table_only: command.TableOnly = False,
    out: Annotated[Path, typer.Option(help="Results file; finished trainings in it are kept.")] = _DEFAULT_OUT,
) -> None:
    """Train, print the table, and say whether the core is within 10 % of the best peer."""
    from mfbench.benchmarks.performance.harness.process import interpreters
    from mfbench.benchmarks.performance.parity.data import h2co_frames
    from mfbench.benchmarks.performance.parity.execute import compare, stored
    from mfbench.benchmarks.performance.parity.report import remarks_of, rows_of, table_of, verdict

    chosen = command.chosen(contender, TRAINED, "contender")
    console = command.console_of(150)
    with command.errors_on(console):
        comparison = Comparison(
            tuple(chosen),
            Network(cutoff=cutoff, lmax=lmax),
            Training(epochs=epochs, batch_frames=batch),
            tuple(learning_rate or (0.01, 0.005)),
            tuple(seed or (0, 1, 2)),
            core_settings_of(core or []),
        )
        if table_only:
            runs = stored(comparison, out)
        else:
            found = interpreters(python or [], TRAINED, [name for name in TRAINED if name != CORE])
            runs = compare(comparison, h2co_frames(frames, draw), out, found, threads, retry_failed)
    if not runs:
        console.print("No stored training has these options.")
        return
    rows = rows_of(runs)
    console.print(table_of(rows, epochs, runs[-1]["n_frames"]))
    for remark in remarks_of(runs, rows):
        console.print(remark, markup=False, highlight=False)
    command.conclude(console, verdict(rows))


if __name__ == "__main__":
    command.run(main, __doc__)
