"""Text from files as other formats show it: in a terminal, Markdown, LaTeX or a spreadsheet it stays text.

Names come from files that others may have written. A line break in a name would end a comment of LaTeX, an escape
sequence would steer the terminal, and a cell that begins with `=` is a formula to a spreadsheet.
"""

from __future__ import annotations

import re

# an underscore within a word is none of emphasis, and an ampersand begins an entity before a letter or # alone
_MARKDOWN = re.compile(r"([\\`*\[\]<>|~$]|(?<!\w)_|_(?!\w)|&(?=[#A-Za-z])|^#)")
_ORDER = re.compile(r"(?<!^)\\(>)|\\(?=<(?![A-Za-z/!?]))")
_CODE = re.compile(r"`+")
_FORMULA = ("=", "+", "-", "@")


def printable(text: str, keep: str = "\n") -> str:
    """Write signs that steer a terminal (escape sequences, marks of direction) as Python's escapes of them.

    Parameters
    ----------
    keep
        Signs that stay all the same.
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in keep or c in "\u00a0\u202f\u2009" else _escaped(c) for c in text)


def one_line(text: str) -> str:
    """The same in one line: line breaks and tabs are escapes, too."""
    return printable(text, keep="")


def _escaped(sign: str) -> str:
    return sign.encode("unicode_escape").decode("ascii")


def markdown(text: str) -> str:
    """Escape what Markdown and HTML would take as marks or tags; line breaks are escapes."""
    return _MARKDOWN.sub(r"\\\1", one_line(text))


def markdown_prose(text: str) -> str:
    """The same for sentences, in which ``<`` and ``>`` may be signs of order: those that begin a tag are escaped."""
    return _ORDER.sub(r"\1", markdown(text))


def markdown_code(text: str) -> str:
    """Write a name as code in Markdown, also in a cell of a table."""
    line = one_line(text).replace("|", "\\|")
    fence = "`" * (1 + max((len(run) for run in _CODE.findall(line)), default=0))
    pad = " " if line.startswith("`") or line.endswith("`") else ""
    return f"{fence}{pad}{line}{pad}{fence}"


def csv_text(text: str) -> str:
    """Write a text cell so that no spreadsheet takes it as a formula: an apostrophe goes before ``= + - @``.

    It goes before texts, too, that begin with apostrophes and one of these, so that :func:`of_csv_text` gives back what
    was written.
    """
    return "'" + text if text.lstrip("'").startswith((*_FORMULA, "\t", "\r")) else text


def of_csv_text(text: str) -> str:
    """The text of a cell that :func:`csv_text` wrote."""
    return text[1:] if text.startswith("'") and text.lstrip("'").startswith((*_FORMULA, "\t", "\r")) else text
