"""Text from files stays text in every format."""

from __future__ import annotations

import csv
import html
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mfbench.benchmarks.cli.output import say
from mfbench.benchmarks.reports.latex import tex
from mfbench.mfcore.text import csv_text, markdown, markdown_code, markdown_prose, of_csv_text, one_line, printable

texts = st.text(st.characters(codec="utf-8"), max_size=30) | st.text("=+-@'|`<>\n\t\x1b*_\\[]&#; a", max_size=12)


@given(texts)
def test_nothing_that_steers_a_terminal_is_left(text: str) -> None:
    shown = printable(text)
    assert all(c.isprintable() or c in "\n\u00a0\u202f\u2009" for c in shown)
    assert "\n" not in one_line(text)
    if text.isprintable():
        assert shown == text


@given(texts)
def test_cells_are_no_formulas_and_come_back(text: str) -> None:
    cell = csv_text(text)
    assert not cell.startswith(("=", "+", "-", "@", "\t", "\r"))
    assert of_csv_text(cell) == text
    buffer = io.StringIO()
    csv.writer(buffer).writerow([cell, "x"])
    assert next(csv.reader(io.StringIO(buffer.getvalue(), newline="")))[0] == cell


@given(texts)
def test_markdown_has_no_marks_of_its_own(text: str) -> None:
    shown = markdown(text)
    bare = "".join(part for part in shown.replace("\\\\", "").split("\\"))
    assert "\n" not in shown
    unescaped = shown.replace("\\\\", "")
    for mark in "`*[]<>|":
        assert unescaped.count(mark) == unescaped.count("\\" + mark), (bare, mark)
    assert html.unescape(shown.replace("\\&", "")) == shown.replace("\\&", "")


@given(texts)
def test_code_keeps_to_its_cell(text: str) -> None:
    shown = markdown_code(text)
    assert "\n" not in shown
    assert shown.count("|") == shown.count("\\|")
    fence = shown[: len(shown) - len(shown.lstrip("`"))]
    assert fence not in shown[len(fence) : -len(fence)] or not text


@given(texts)
def test_latex_is_one_line_without_commands(text: str) -> None:
    shown = tex(text)
    assert "\n" not in shown
    assert "%" not in shown.replace("\\%", "")
    assert "\\input" not in shown


def test_names_stay_readable() -> None:
    assert markdown("molecular_cc, n_high = 25 (meV/Å)") == "molecular_cc, n_high = 25 (meV/Å)"
    assert markdown("_a_ <b> *c* [d](e) x|y &lt; $z$") == r"\_a\_ \<b\> \*c\* \[d\](e) x\|y \&lt; \$z\$"
    assert markdown_code("a`b|c") == r"``a`b\|c``"
    assert markdown_prose("> and <: beyond; <b> </b> a<b|") == r"\> and <: beyond; \<b> \</b> a\<b\|"
    assert csv_text("multi_fidelity") == "multi_fidelity"
    assert csv_text("=1+1") == "'=1+1"


def test_what_commands_say_is_printable(capsys: pytest.CaptureFixture[str]) -> None:
    say("a\x1b]0;title\x07b\n\u202ec")
    assert capsys.readouterr().out == "a\\x1b]0;title\\x07b\n\\u202ec\n"
