"""Draw the figures of every file of rows under a folder: `python -m mfbench.benchmarks.reports.figures`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from mfbench.benchmarks.reports.figures import FORMATS, PAPER, USES, figures
from mfbench.benchmarks.reports.results import Results
from mfbench.mfcore.errors import ConfigError, MfbenchError

ROWS = "rows.csv.gz"


def main(arguments: Sequence[str] | None = None) -> int:
    """Draw; returns the exit code, 2 if there is nothing to draw or a file cannot be read."""
    parser = argparse.ArgumentParser(prog="python -m mfbench.benchmarks.reports.figures", description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?", default=Path("results"), help="default: results")
    parser.add_argument("--style", choices=list(USES), default=PAPER.name)
    parser.add_argument("--format", choices=FORMATS, action="append", help="may be given again; default: all")
    options = parser.parse_args(arguments)
    try:
        draw_all(options.folder, options.style, options.format or FORMATS)
    except MfbenchError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    return 0


def _say(source: Path, reason: str) -> None:
    sys.stderr.write(f"{source}: left out: {reason}\n")


def draw_all(folder: Path, style: str, formats: Sequence[str]) -> list[Path]:
    """Draw the figures of each `NAME/rows.csv.gz` under a folder into `NAME/figures`, or `NAME/figures-talk`.

    Raises
    ------
    ConfigError
        If there is no such file.
    """
    sources = sorted(folder.glob(f"*/{ROWS}"))
    if not sources:
        raise ConfigError(f"folder {folder}: no */{ROWS} in it, so there is nothing to draw.")
    written: list[Path] = []
    for source in sources:
        name = "figures" if style == PAPER.name else f"figures-{style}"
        command = f"mfbench figures {source.as_posix()}" + ("" if style == PAPER.name else f" --style {style}")
        drawn = figures(
            Results.read(source),
            source.parent / name,
            formats=formats,
            command=command,
            style=style,
            on_skip=partial(_say, source),
        )
        sys.stdout.write("".join(f"{path}\n" for path in drawn))
        written += drawn
    return written


if __name__ == "__main__":
    raise SystemExit(main())
