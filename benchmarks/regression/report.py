"""The verdicts as a table: on the terminal, as Markdown, or as JSON."""

from __future__ import annotations

import io
import json
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict

from mfbench.benchmarks.regression.judge import ALL_ARMS, FAILING, Finding, Verdict, failed
from mfbench.benchmarks.regression.statistics import LEVEL, POWER
from mfbench.mfcore.errors import ConfigError
from mfbench.mfcore.text import markdown, one_line

STYLES = {
    Verdict.better: "green",
    Verdict.same: "dim",
    Verdict.worse: "bold red",
    Verdict.missing: "bold red",
    Verdict.not_comparable: "yellow",
}

HEADER = ("verdict", "what", "metric", "split", "change", "alarm", "sees", "seeds", "note")

LEGEND = (
    f"change: of the geometric mean over seeds. alarm: change beyond which it counts. sees: change that raises an "
    f"alarm with probability {POWER:g}. Unchanged code with new seeds raises any alarm with probability {LEVEL:g}. "
    f"seeds: of the runs / of the baseline (speed: repeats)."
)


def headline(findings: Sequence[Finding]) -> str:
    """One line: how it went, and the counts."""
    counts = Counter(finding.verdict for finding in findings)
    parts = ", ".join(f"{counts[verdict]} {verdict}" for verdict in Verdict if counts[verdict])
    if not findings:
        return "Regression check failed: nothing was measured."
    if not failed(findings):
        return f"No regression: {parts}."
    if not any(finding.verdict in FAILING for finding in findings):
        return f"Regression check failed: nothing is comparable with the baseline ({parts})."
    return f"Regression: {parts}."


def report(findings: Sequence[Finding], format: str = "text", *, details: bool = False, styled: bool = False) -> str:
    """Write the verdicts.

    Parameters
    ----------
    format
        "text", "md" or "json".
    details
        Also each single arm, cost and benchmark that is the same. JSON always has them.
    styled
        Text only: colours as terminal codes.

    Raises
    ------
    ConfigError
        If the format is unknown.
    """
    if format == "json":
        return _json(findings)
    shown = [f for f in findings if details or f.group == ALL_ARMS or f.verdict is not Verdict.same]
    hidden = Counter(f.group for f in findings if f not in shown)
    note = ", ".join(f"{n} x {group}" for group, n in hidden.items())
    notes = [LEGEND, *([f"The same and not shown (--details): {note}."] if note else [])]
    if format == "md":
        return _markdown(findings, shown, notes)
    if format == "text":
        return _text(findings, shown, notes, styled)
    raise ConfigError(f"format '{format}': expected text, md or json.")


def _cells(finding: Finding) -> tuple[str, ...]:
    what = finding.arm if finding.group in ("arm", "cost") else finding.group
    seeds = f"{finding.n_new}/{finding.n_baseline}" if finding.n_baseline else ""
    numbers = (_percent(finding.change), _percent(finding.alarm), _percent(finding.detectable))
    texts = (what, finding.metric, finding.split, *numbers, seeds, finding.note)
    return (finding.verdict.value, *map(one_line, texts))


def _percent(change: float) -> str:
    if math.isnan(change):
        return ""
    return f"{100 * change:+.1f} %" if abs(change) < 9.995 else f"{1 + change:.3g}x"


def _text(findings: Sequence[Finding], shown: Sequence[Finding], notes: Sequence[str], styled: bool) -> str:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    stream = io.StringIO()
    console = Console(file=stream, width=150, force_terminal=styled, color_system="standard" if styled else None)
    if shown:
        table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False)
        for name in HEADER:
            table.add_column(name, justify="right" if name in ("change", "alarm", "sees", "seeds") else "left")
        for finding in shown:
            verdict, *rest = _cells(finding)
            table.add_row(f"[{STYLES[finding.verdict]}]{verdict}[/]", *(escape(text) for text in rest))
        console.print(table)
    for note in notes:
        console.print(escape(note), style="dim", highlight=False)
    style = "bold red" if failed(findings) else "bold"
    console.print(headline(findings), style=style, highlight=False)
    return "\n".join(line.rstrip() for line in stream.getvalue().splitlines()) + "\n"


def _markdown(findings: Sequence[Finding], shown: Sequence[Finding], notes: Sequence[str]) -> str:
    lines = [f"### {headline(findings)}", ""]
    if shown:
        lines += ["| " + " | ".join(HEADER) + " |", "|:--|:--|:--|:--|--:|--:|--:|--:|:--|"]
        for finding in shown:
            verdict, *rest = map(markdown, _cells(finding))
            lines.append("| " + " | ".join([f"**{verdict}**" if finding.verdict in FAILING else verdict, *rest]) + " |")
        lines.append("")
    return "\n".join([*lines, " ".join(notes), ""])


def _json(findings: Sequence[Finding]) -> str:
    records = [
        {key: None if isinstance(value, float) and not math.isfinite(value) else value for key, value in item.items()}
        for item in map(asdict, findings)
    ]
    return json.dumps(
        {"failed": failed(findings), "summary": headline(findings), "findings": records}, indent=1, ensure_ascii=False
    )
