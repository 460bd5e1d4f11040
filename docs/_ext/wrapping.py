"""Lines of a terminal, wrapped to the width that a page shows."""

from __future__ import annotations

import textwrap

WIDTH = 100
REPORT_WIDTH = 120
"""Columns that reports of mfbench wrap their sentences to."""


def wrapped(lines: list[str]) -> list[str]:
    """Wrap lines to the width; sentences that a report has wrapped are put together first."""
    joined: list[str] = []
    last = ""
    for line in lines:
        full = WIDTH - 10 < len(last) <= REPORT_WIDTH < len(last) + 1 + len(line.partition(" ")[0])
        if full and line.strip() and not line.startswith((" ", "─")):
            joined[-1] = f"{joined[-1]} {line}"
        else:
            joined.append(line)
        last = line
    return [part for line in joined for part in _fitting(line)]


def command_lines(command: str) -> list[str]:
    """Write a command behind a prompt, in several lines where it is long: an option stays with its value."""
    lines = textwrap.wrap(f"$ {command}", WIDTH - 2, break_on_hyphens=False, subsequent_indent="    ")
    for number in range(len(lines) - 1):
        start, _, last = lines[number].rpartition(" ")
        if last.startswith("--"):
            lines[number], lines[number + 1] = start, f"    {last} {lines[number + 1].strip()}"
    return [*(f"{line} \\" for line in lines[:-1]), lines[-1]]


def _fitting(line: str) -> list[str]:
    if len(line) <= WIDTH:
        return [line]
    return textwrap.wrap(line, WIDTH, break_on_hyphens=False, subsequent_indent="  ")
