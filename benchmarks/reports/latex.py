"""Tables for LaTeX: booktabs and siunitx (version 3), numbers as `value +- error`, the best in bold."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from mfbench.benchmarks.reports.grids import Field, Grid, Page, grid
from mfbench.benchmarks.reports.numbers import MISSING
from mfbench.mfcore.text import one_line

PREAMBLE = (
    r"% \usepackage{booktabs,siunitx}",
    r"% \sisetup{uncertainty-mode = separate, text-series-to-math = true, propagate-math-font = true}",
)

NUMBER = re.compile(r"-?\d+(\.\d+)?(e[+-]?\d+)?( ± \d+(\.\d+)?)?(e[+-]?\d+)?")
"""Numbers that an S column can set."""

ESCAPES = {
    "\\": r"\textbackslash{}",
    "_": r"\_",
    "%": r"\%",
    "&": r"\&",
    "#": r"\#",
    "$": r"\$",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": "$<$",
    ">": "$>$",
    "Å": r"\AA{}",
    "µ": r"\textmu{}",
    "⁶": r"$^{6}$",
    "σ": r"$\sigma$",
    "²": r"$^{2}$",
    "–": "--",
    "×": r"$\times$",
    "±": r"$\pm$",
}


def latex(made: Sequence[Page], advised: Callable[[Page], list[str]]) -> str:
    """Write pages as tables; notes and advice are comments.

    Parameters
    ----------
    made
        From `mfbench.benchmarks.reports.grids.pages`.
    advised
        Gives the sentences of advice under a page.
    """
    lines = list(PREAMBLE)
    for page in made:
        table = page.summary
        parts = [grid(table, table.scores, True), grid(table, table.costs, False)] if table else []
        for part in (*parts, *page.grids):
            lines += ["", _comment(page.title), *([_comment(part.title)] if part.title else []), *_tabular(part)]
        notes = [note.replace("bold, or *", "bold") for note in page.notes]
        lines += [_comment(note) for note in (*notes, *advised(page))]
    return "\n".join(lines) + "\n"


def _comment(text: str) -> str:
    return f"% {one_line(text)}"


def _tabular(part: Grid) -> list[str]:
    kinds = "".join(_kind(part, index) for index in range(1, len(part.header)))
    return [
        rf"\begin{{tabular}}{{l{kinds}}}",
        r"\toprule",
        " & ".join(f"{{{tex(title)}}}" for title, _ in part.header) + r" \\",
        " & ".join(f"{{{tex(unit)}}}" for _, unit in part.header) + r" \\",
        r"\midrule",
        *(" & ".join([tex(line[0].text), *map(_field, line[1:])]) + r" \\" for line in part.lines),
        r"\bottomrule",
        r"\end{tabular}",
    ]


def _kind(part: Grid, index: int) -> str:
    if part.header[index][0] in ("runs", "failed"):
        return "r"
    return "r" if any(line[index].words for line in part.lines) else "S"


def _field(field: Field) -> str:
    if field.words:
        return tex(field.text)
    if not NUMBER.fullmatch(field.text):
        return f"{{{tex(field.text)}}}" if field.text != MISSING else "{--}"
    text = field.text.replace(" ± ", " +- ")
    return rf"\bfseries {text}" if field.best else text


def tex(text: str) -> str:
    """Escape what LaTeX would take as a command, and write signs that a plain document does not have."""
    return "".join(ESCAPES.get(sign, sign) for sign in one_line(text))
