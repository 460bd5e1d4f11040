"""`mfbench regress`: stored runs and speed against a tracked baseline."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mfbench.benchmarks.cli.output import say
from mfbench.benchmarks.cli.waiting import waiting

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mfbench.benchmarks.regression.baseline import Baseline
    from mfbench.benchmarks.regression.judge import Finding
    from mfbench.benchmarks.regression.measure import Measured, Speed

BASELINES = Path("results/baselines")


class Format(StrEnum):
    """How the verdicts are written."""

    text = "text"
    md = "md"
    json = "json"


def register(app: typer.Typer) -> None:
    """Add this command."""
    app.command(
        "regress",
        epilog="Example: mfbench regress results/runs/regress --baseline results/baselines/regress.json",
    )(regress)


def regress(
    source: Annotated[Path | None, typer.Argument(metavar="DIR", help="Folder of runs; none: speed alone.")] = None,
    baseline: Annotated[
        Path | None, typer.Option(help="The baseline.", show_default="results/baselines/PRESET.json")
    ] = None,
    speed: Annotated[
        list[Path] | None, typer.Option(help="pytest-benchmark JSON; several are repeats of one suite.")
    ] = None,
    preset: Annotated[
        str | None, typer.Option(help="Preset that the runs are of, if it is a file of your own.")
    ] = None,
    update: Annotated[bool, typer.Option("--update", help="Make this measurement the baseline.")] = False,
    history: Annotated[
        Path | None,
        typer.Option(help="File that keeps a line of each baseline.", show_default="BASELINE.history.jsonl"),
    ] = None,
    trend: Annotated[Path | None, typer.Option(help="Draw the history as a figure (.png, .svg, .pdf).")] = None,
    format: Annotated[Format, typer.Option(help="How to write the verdicts.")] = Format.text,
    details: Annotated[bool, typer.Option("--details", help="Also list what is the same.")] = False,
    summary: Annotated[
        Path | None,
        typer.Option(envvar="GITHUB_STEP_SUMMARY", help="File to append the verdicts to, as Markdown."),
    ] = None,
) -> None:
    """Compare errors, stability, costs and speed with a baseline: better, same, worse, missing, not comparable.

    Thresholds follow from the spread over seeds that the baseline has. Exit code 1 if anything is worse or missing, or
    if nothing could be compared.
    """
    from mfbench.benchmarks.regression.measure import measure
    from mfbench.benchmarks.regression.speed import read_speed
    from mfbench.mfcore.errors import ConfigError

    times = read_speed(speed) if speed else []
    if source is None and not times and trend is None:
        raise ConfigError("regress: give a folder of runs, --speed, or both.")
    with waiting(f"Reading {source}"):
        runs = measure(source, _preset(preset)) if source is not None else None
    if baseline is None and runs is None:
        raise ConfigError("regress: say which --baseline; without runs there is no preset to find it by.")
    file = baseline or BASELINES / f"{runs.preset if runs else ''}.json"
    past = history or file.with_suffix(".history.jsonl")
    findings: list[Finding] = []
    if update:
        _update(file, past, runs, times)
    elif runs is not None or times:
        with waiting(f"Comparing with {file}"):
            findings = _verdicts(file, runs, times)
        _tell(findings, format, details, summary)
    if trend is not None:
        from mfbench.benchmarks.regression.history import draw_trend, read_history
        from mfbench.mfcore.locks import only_writer_of

        with only_writer_of(trend):
            draw_trend(read_history(past), trend)
        say(str(trend), err=format is Format.json)
    if not update and (runs is not None or times):
        from mfbench.benchmarks.regression.judge import failed

        if failed(findings):
            raise typer.Exit(1)


def _preset(name: str | None):
    from mfbench.benchmarks.harness.presets import load_preset

    return load_preset(name) if name is not None else None


def _verdicts(file: Path, runs: Measured | None, times: Sequence[Speed]) -> list[Finding]:
    from mfbench.benchmarks.regression.baseline import read_baseline
    from mfbench.benchmarks.regression.judge import compare
    from mfbench.benchmarks.regression.speed import compare_speed

    found: Baseline = read_baseline(file)
    findings = compare(found, runs) if runs is not None else []
    return findings + (compare_speed(found.speed, times) if times else [])


def _tell(findings: Sequence[Finding], format: Format, details: bool, summary: Path | None) -> None:
    import sys

    from mfbench.benchmarks.regression.report import report

    typer.echo(report(findings, format.value, details=details, styled=sys.stdout.isatty()).rstrip("\n"))
    if summary is not None:
        with summary.open("a", encoding="utf-8") as stream:  # other steps of the job write into it as well
            stream.write(report(findings, "md", details=details) + "\n")


def _update(file: Path, past: Path, runs: Measured | None, times: Sequence[Speed]) -> None:
    from mfbench.benchmarks.regression.baseline import make_baseline, read_baseline, write_baseline
    from mfbench.benchmarks.regression.history import append, point
    from mfbench.mfcore.locks import only_writer_of

    with only_writer_of(file), only_writer_of(past):
        fresh = make_baseline(runs, times, read_baseline(file) if file.exists() else None)
        append(past, point(fresh))  # first: it fails without harm where the history is faulty
        write_baseline(fresh, file)
    seeds = {key.partition("/")[2] for entry in fresh.cells for key in entry.values}
    parts = [f"{len(fresh.cells)} numbers of {len(seeds)} seeds"] if fresh.cells else []
    parts += [f"{len(fresh.speed)} speed ratios"] if fresh.speed else []
    say(f"{file}: {', '.join(parts)}; history: {past}")
