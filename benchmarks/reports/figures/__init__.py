"""Figures of stored runs, for a paper or a talk: one kind a file, all in one look."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from importlib import import_module
from pathlib import Path

from mfbench.benchmarks.observables.registry import observables
from mfbench.benchmarks.reports.figures.base import Drawing, NothingToDraw, Source
from mfbench.benchmarks.reports.figures.learning_curves import learning_curve_figure
from mfbench.benchmarks.reports.figures.save import FORMATS, metadata, save
from mfbench.benchmarks.reports.figures.style import OTHERS, PAPER, TALK, USES, Style, looks
from mfbench.benchmarks.reports.results import Results
from mfbench.mfcore.errors import ConfigError, MfbenchError, StorageError
from mfbench.mfcore.files import sweep_folder
from mfbench.mfcore.locks import only_writer_of

__all__ = [
    "FORMATS",
    "KINDS",
    "OTHERS",
    "PAPER",
    "TALK",
    "USES",
    "drawn",
    "figures",
    "kinds",
    "learning_curve_figure",
    "looks",
]

KINDS: dict[str, str] = {
    "learning-curve": "learning_curves",
    "training-compute": "training_compute",
    "pareto": "pareto",
    "forces-energies": "forces_energies",
    "heat-map": "heat_map",
    "forest": "forest",
    "parity": "parity",
}
"""Kinds of figures of errors and costs, by name, and the module of each in this package."""


def kinds() -> dict[str, str]:
    """Give all kinds of figures by name, and the module of each: its `draw(source, style)` yields drawings.

    After those of errors and costs come those of the observables.
    """
    own = {name: f"mfbench.benchmarks.reports.figures.{module}" for name, module in KINDS.items()}
    return own | {name: module for observable in observables() for name, module in observable.figures.items()}


def figures(
    results: Results,
    folder: Path,
    *,
    formats: Sequence[str] = FORMATS,
    command: str = "mfbench figures DIR",
    style: str = "paper",
    only: Sequence[str] = (),
    on_skip: Callable[[str], None] | None = None,
    on_fault: Callable[[str], None] | None = None,
) -> list[Path]:
    """Draw the figures that these runs have the data for.

    Each file carries, as metadata, the number and the hash of the run keys that it is drawn from, the data's
    sha256 where they are known, the version and the command. The same rows give the same bytes.

    Parameters
    ----------
    results
        The runs; without their details, figures of survival, transport and the like are skipped.
    folder
        Where files go; made if it is not there.
    formats
        Some of "pdf", "svg", "png".
    command
        What makes the figures again.
    style
        "paper" (columns of 89 and 183 mm, 8 pt) or "talk" (for slides).
    only
        Some of :func:`kinds`; default all.
    on_skip
        Told in a line why a kind of figure is not drawn; without it, the reasons stand in the error if none is.
    on_fault
        Told in a line which kind of figure, of which observable, raised, and what; the others are drawn. Without it,
        the error is raised.

    Returns
    -------
    list of Path
        The files written.

    Raises
    ------
    ConfigError
        If a format, style or kind is unknown, no figure can be drawn, or another process draws into the folder.
    StorageError
        If they cannot be written.
    """
    for what, given, known in (
        ("figure format", formats, FORMATS),
        ("figure style", [style], USES),
        ("figure", only, kinds()),
    ):
        if unknown := [name for name in given if name not in known]:
            raise ConfigError(f"{what} '{unknown[0]}': expected one of {', '.join(known)}.")
    from matplotlib import rc_context

    source = Source(results)
    use = USES[style]
    written: list[Path] = []
    reasons: list[str] = []
    faults: list[str] = []
    with rc_context(use.rc()), only_writer_of(folder):
        sweep_folder(folder, [f".{name}" for name in FORMATS])
        for kind in only or kinds():
            try:
                for drawing in _drawings(kind, source, use):
                    hashes = results.details.data_hashes(drawing.rows)
                    fields = metadata(drawing.name, drawing.rows, command, hashes)
                    written += save(drawing.figure, folder / drawing.name, formats, fields, use.dpi)
            except NothingToDraw as nothing:
                if on_skip is None:
                    reasons.append(f" {kind}: {nothing}")
                else:
                    on_skip(f"{kind}: {nothing}")
            except Exception as error:
                if on_fault is None or isinstance(error, MfbenchError) or StorageError.within(error) is not None:
                    raise
                faults.append(f" {kind}: {type(error).__name__}: {error}")
                on_fault(f"{kind}{_owner(kind)} raised {type(error).__name__}: {error}")
    if not written:
        raise ConfigError("no figure can be drawn of these runs." + "".join(reasons + faults))
    return written


def drawn(results: Results, style: str = "paper") -> Iterator[Drawing]:
    """Draw the figures that these runs have the data for, and write none.

    Parameters
    ----------
    results
        The runs.
    style
        One of `USES`.

    Raises
    ------
    ConfigError
        If the style is unknown.
    """
    if style not in USES:
        raise ConfigError(f"figure style '{style}': expected one of {', '.join(USES)}.")
    from matplotlib import rc_context

    source, use = Source(results), USES[style]
    for kind in kinds():
        with rc_context(use.rc()), suppress(NothingToDraw):
            yield from _drawings(kind, source, use)


def _owner(kind: str) -> str:
    return next((f", of observable '{found.name}'," for found in observables() if kind in found.figures), "")


def _drawings(kind: str, source: Source, style: Style) -> Iterator[Drawing]:
    drawn: Iterator[Drawing] = import_module(kinds()[kind]).draw(source, style)
    return drawn
