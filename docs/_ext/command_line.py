"""Directive `command-line`: the reference of all commands, made from the typer app."""

from __future__ import annotations

import re
from enum import Enum
from pathlib import Path
from typing import Any

from cli_tree import commands
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from mfbench.mfcore.text import markdown_prose


def text_of(words: str, command: Any) -> str:
    """Write a command as Markdown: usage, help, arguments and options, examples."""
    arguments = [p for p in command.params if not p.opts[0].startswith("-") and not p.hidden]
    options = [p for p in command.params if p.opts[0].startswith("-") and not p.hidden]
    usage = " ".join(["mfbench", words, *map(_argument, arguments), *(["[OPTIONS]"] if options else [])])
    parts = [
        f"(cli-{words.replace(' ', '-')})=",
        f"## mfbench {words}",
        "",
        f"    {usage}",
        "",
        _paragraphs(command.help),
    ]
    if arguments or options:
        parts += ["", "| option | | default |", "|---|---|---|", *map(_line, (*arguments, *options))]
    if command.epilog:
        examples = [line for line in command.epilog.replace("Examples:", "").splitlines() if line.strip()]
        parts += ["", *("    " + line.strip().removeprefix("Example: ") for line in examples)]
    return "\n".join([*parts, ""])


def _argument(parameter: Any) -> str:
    name = parameter.metavar or parameter.name.upper()
    return name if parameter.required else f"[{name}]"


def _line(parameter: Any) -> str:
    if parameter.opts[0].startswith("-"):
        name = " ".join(f"`{option}`" for option in parameter.opts)
        kind = "" if getattr(parameter, "is_flag", False) else f" {_kind(parameter)}"
    else:
        name, kind = f"`{parameter.metavar or parameter.name.upper()}`", ""
    return f"| {name}{kind} | {_cell(parameter.help or '')} | {_default(parameter)} |"


def _kind(parameter: Any) -> str:
    if parameter.metavar:
        return parameter.metavar
    kind = parameter.type_descriptor.annotation
    kind = getattr(kind, "__args__", (kind,))[0]
    if isinstance(kind, type) and issubclass(kind, Enum):
        return " or ".join(f"`{member.value}`" for member in kind)
    return {Path: "PATH", str: "TEXT", int: "INTEGER", float: "NUMBER"}.get(kind, "")


def _default(parameter: Any) -> str:
    if parameter.required:
        return "required"
    if isinstance(parameter.show_default, str):
        return _cell(parameter.show_default)
    value = parameter.default
    if value is None or value is False or callable(value):
        return ""
    return f"`{value.value if isinstance(value, Enum) else value}`"


def _cell(text: str) -> str:
    return re.sub(r"(?<![\w`])(--[a-z][a-z-]*)", r"`\1`", markdown_prose(text.replace("\n", " ")))


def _paragraphs(text: str) -> str:
    return "\n\n".join(_cell(part) for part in (text or "").split("\n\n"))


class CommandLine(SphinxDirective):
    """Lists all commands, a section each."""

    def run(self) -> list[nodes.Node]:
        texts = [text_of(words, command) for words, command in commands().items() if words]
        return self.parse_text_to_nodes("\n".join(texts), allow_section_headings=True)


def setup(app: Sphinx) -> dict[str, bool]:
    """Add the directive."""
    app.add_directive("command-line", CommandLine)
    return {"parallel_read_safe": True}
