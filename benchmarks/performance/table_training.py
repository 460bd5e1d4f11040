r"""Training through the radial table beside training of the exact radial networks, equal in everything else.

Both are trained as the accuracy comparison trains the core: 400 frames of H2CO with CCSD(T)-F12 energies and forces,
six seeds, tested on 1000 frames. The table stands if the difference of the mean force errors is within the spread
of the seeds.

Example:

\b
    python -m mfbench.benchmarks.performance.table_training

A training that is in the results file is not run again; --table-only prints the table of what is there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from mfbench.benchmarks.performance.harness import command
from mfbench.benchmarks.performance.harness.store import ResultsFile
from mfbench.benchmarks.performance.parity.settings import Training

if TYPE_CHECKING:
    from rich.table import Table

    from mfbench.benchmarks.performance.parity.data import ParityData

Mode = Literal["table", "exact"]
MODES: tuple[Mode, ...] = ("table", "exact")
DEFAULT_OUT = Path("results/performance/table_training.json")


@dataclass(frozen=True)
class Summary:
    """One way of training, over its seeds; force and energy errors of the test frames."""

    mode: str
    seeds: tuple[int, ...]
    force_mae_mev_per_A: tuple[float, ...]
    energy_mae_mev_per_atom: tuple[float, ...]
    train_cpu_s: tuple[float, ...]

    @property
    def mean(self) -> float:
        """Mean force MAE, meV/Å."""
        return sum(self.force_mae_mev_per_A) / len(self.seeds)

    @property
    def spread(self) -> float:
        """Largest less smallest force MAE, meV/Å."""
        return max(self.force_mae_mev_per_A) - min(self.force_mae_mev_per_A)


def train_one(data: ParityData, mode: Mode, training: Training, learning_rate: float, seed: int) -> dict[str, Any]:
    """Train the core of the accuracy comparison in one mode, and test it."""
    import torch

    from mfbench.benchmarks.performance.contenders.base import Network
    from mfbench.benchmarks.performance.contenders.mfcore import MfCore
    from mfbench.benchmarks.performance.parity.training import train
    from mfbench.mfcore.ops.radial.network import RadialNetwork

    torch.manual_seed(seed)
    contender = MfCore(Network(), data.training)
    core = contender.module
    for radial in core.modules():
        if isinstance(radial, RadialNetwork):
            radial.mode = mode  # the same parameters, evaluated in another way
            core.radial_settings = radial.settings
    outcome = train(contender, data, training, learning_rate, seed, lambda *_: None)
    return {"mode": mode, "seed": seed, "test": outcome.test, "train_cpu_s": outcome.train_cpu_s}


def summaries(runs: Sequence[Mapping[str, Any]]) -> list[Summary]:
    """Summarise runs by mode."""
    made = []
    for mode in MODES:
        own = sorted((r for r in runs if r["mode"] == mode), key=lambda r: r["seed"])
        if own:
            made.append(
                Summary(
                    mode,
                    tuple(r["seed"] for r in own),
                    tuple(r["test"]["force_mae_mev_per_A"] for r in own),
                    tuple(r["test"]["energy_mae_mev_per_atom"] for r in own),
                    tuple(r["train_cpu_s"] for r in own),
                )
            )
    return made


def verdict(runs: Sequence[Mapping[str, Any]]) -> tuple[bool | None, str]:
    """Say whether the table's mean force MAE is within the spread of the seeds; None if seeds are missing.

    The same seed means the same initial weights and the same order of frames, so the sentence names the differences
    by seed, too: all of one sign, they may be real even within the spread.
    """
    found = {s.mode: s for s in summaries(runs)}
    table, exact = found.get("table"), found.get("exact")
    if table is None or exact is None or table.seeds != exact.seeds or len(table.seeds) < 3:
        return None, "No verdict: it takes both ways of training with the same three seeds or more."
    difference, spread = table.mean - exact.mean, max(table.spread, exact.spread)
    passed = abs(difference) <= spread
    pairs = zip(table.force_mae_mev_per_A, exact.force_mae_mev_per_A, strict=True)
    each = ", ".join(f"{a - b:+.2f}" for a, b in pairs)
    return passed, (
        f"force MAE through the table {table.mean:.2f} meV/Å, exact {exact.mean:.2f} meV/Å: the difference of "
        f"{difference:+.2f} is {'within' if passed else 'NOT within'} the spread of the seeds ({spread:.2f}); "
        f"by seed {each}."
    )


def table_of(runs: Sequence[Mapping[str, Any]]) -> Table:
    """Make the table that is printed."""
    from rich.table import Table

    made = Table(title="H2CO, CCSD(T)-F12: radial functions in training")
    headings = ("radial", "force MAE (meV/Å)", "by seed", "energy MAE (meV/atom)", "train CPU (s)")
    for heading in headings:
        made.add_column(heading, justify="left" if heading == "radial" else "right")
    for s in summaries(runs):
        n = len(s.seeds)
        each = ", ".join(f"{x:.2f}" for x in s.force_mae_mev_per_A)
        energy, seconds = sum(s.energy_mae_mev_per_atom) / n, sum(s.train_cpu_s) / n
        made.add_row(s.mode, f"{s.mean:.2f}", each, f"{energy:.3f}", f"{seconds:.0f}")
    return made


def results_file(path: Path) -> ResultsFile:
    """The trainings of one set of settings."""
    return ResultsFile(path, "comparison of radial tables", "--out", needs=("settings", "runs"))


def settings_of(training: Training, learning_rate: float, data_sha256: str | None) -> dict[str, Any]:
    """All that runs in one file share."""
    return {"training": training.as_dict(), "learning_rate": learning_rate, "data_sha256": data_sha256}


def stored(out: ResultsFile, settings: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Runs of a results file that were made with these settings; frames count if their hash is given."""
    unknown = () if settings["data_sha256"] else ("data_sha256",)
    for record in out.read():
        if {**record["settings"], **dict.fromkeys(unknown)} == settings:
            return list(record["runs"])
    return []


def compare(
    data: ParityData, training: Training, learning_rate: float, seeds: Sequence[int], out: ResultsFile
) -> list[dict[str, Any]]:
    """Train what the results file lacks; each run is stored as soon as it is done."""
    settings = settings_of(training, learning_rate, data.sha256())
    runs = stored(out, settings)
    for seed, mode in product(seeds, MODES):
        if not any(r["mode"] == mode and r["seed"] == seed for r in runs):
            print(f"{mode}, seed {seed} ...", flush=True)
            runs.append(train_one(data, mode, training, learning_rate, seed))
            out.keep({"settings": settings, "runs": runs})
    return runs


def main(
    epochs: Annotated[int, typer.Option(help="Passes through the training frames.")] = Training.epochs,
    learning_rate: Annotated[float, typer.Option(help="Largest learning rate.")] = 0.005,
    seed: Annotated[list[int] | None, typer.Option(help="Repeatable; by default 0 to 5.")] = None,
    table_only: command.TableOnly = False,
    out: Annotated[Path, typer.Option(help="Results file; finished trainings in it are kept.")] = DEFAULT_OUT,
) -> None:
    """Train, print the table and the verdict; exit code 1 if the table does not stand."""
    from mfbench.benchmarks.performance.parity.data import h2co_frames

    console, file, training = command.console_of(120), results_file(out), Training(epochs=epochs)
    with command.errors_on(console):
        if table_only:
            runs = stored(file, settings_of(training, learning_rate, None))
        else:
            runs = compare(h2co_frames(400, 0), training, learning_rate, seed or list(range(6)), file)
    console.print(table_of(runs))
    command.conclude(console, verdict(runs))


if __name__ == "__main__":
    command.run(main, __doc__)
