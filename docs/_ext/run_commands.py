"""Directive `run`: commands that are executed when the site is built, with what they print.

    ```{run}
    mfbench data inspect high.xyz
    ```

The lines of a page are executed in order, in a folder of that page with the files of `examples/`; with the option
`python` they are one script. A command that fails ends the build, unless the option `exit-code` expects it. Lines that
are longer than the terminal are wrapped, as a terminal would. With the option `needs`, lines are shown without output
where a module is not installed; the site is published by an environment that has all of them.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path
from typing import ClassVar

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.application import Sphinx
from sphinx.errors import ExtensionError
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective
from wrapping import WIDTH, command_lines, wrapped

EXAMPLES = Path(__file__).parents[2] / "examples"
_TIMEOUT_S = 1800
_LOG = logging.getLogger(__name__)
_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def folder_of(page: str, folders: dict[str, Path]) -> Path:
    """Return the folder that the commands of a page run in; it has the example files at first."""
    if page not in folders:
        folders[page] = Path(tempfile.mkdtemp(prefix="mfbench-docs-"))
        for file in EXAMPLES.glob("*.xyz"):
            shutil.copy(file, folders[page])
    return folders[page]


def environment() -> dict[str, str]:
    """Return the environment of commands: that of the build, with its own programs first, and a terminal's width."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    return {**os.environ, "PATH": path, "COLUMNS": str(WIDTH), "NO_COLOR": "1", "TERM": "dumb"}


class Run(SphinxDirective):
    """Executes its lines and shows each behind a prompt, with what it printed."""

    has_content = True
    option_spec: ClassVar = {
        "python": directives.flag,
        "exit-code": directives.nonnegative_int,
        "head": directives.positive_int,
        "tail": directives.positive_int,
        "needs": directives.unchanged_required,
    }

    def run(self) -> list[nodes.Node]:
        needed = self.options.get("needs")
        if needed is not None and find_spec(needed) is None:
            _LOG.info("%s: not run, since %s is not installed", self.env.docname, needed)
            return [self._block("\n".join(self.content), "python" if "python" in self.options else "bash")]
        folder = folder_of(self.env.docname, self.env.app.mfbench_folders)
        if "python" in self.options:
            script = "\n".join(self.content)
            (folder / "script.py").write_text(script + "\n", encoding="utf-8")
            printed = self._executed(f"{sys.executable} script.py", folder)
            return [self._block(script, "python"), self._block("\n".join(printed), "text")]
        shown = []
        for command in "\n".join(self.content).replace("\\\n", " ").splitlines():
            if command.strip():
                words = re.sub(r"\s+", " ", command.strip())
                shown += [*command_lines(words), *self._executed(words, folder)]
        return [self._block("\n".join(shown), "console")]

    def _block(self, text: str, language: str) -> nodes.literal_block:
        block = nodes.literal_block(text, text, language=language)
        self.set_source_info(block)
        return block

    def _executed(self, command: str, folder: Path) -> list[str]:
        expected = self.options.get("exit-code", 0)
        started = time.perf_counter()
        done = subprocess.run(
            command,
            shell=True,
            cwd=folder,
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=_TIMEOUT_S,
            check=False,
        )
        _LOG.info("%s: %.0f s: %s", self.env.docname, time.perf_counter() - started, command)
        if done.returncode != expected:
            raise ExtensionError(
                f"{self.env.docname}: `{command}` ended with {done.returncode}, expected {expected}:\n{done.stdout}"
            )
        lines = wrapped(_ESCAPES.sub("", done.stdout).replace(str(folder) + os.sep, "").rstrip().splitlines())
        head, tail = self.options.get("head"), self.options.get("tail")
        if head is not None and len(lines) > head:
            lines = [*lines[:head], "..."]
        if tail is not None and len(lines) > tail:
            lines = ["...", *lines[-tail:]]
        return [line.rstrip() for line in lines]


def _begin(app: Sphinx) -> None:
    app.mfbench_folders = {}


def _end(app: Sphinx, error: Exception | None) -> None:
    for folder in app.mfbench_folders.values():
        shutil.rmtree(folder, ignore_errors=True)


def setup(app: Sphinx) -> dict[str, bool]:
    """Add the directive."""
    app.add_directive("run", Run)
    app.connect("builder-inited", _begin)
    app.connect("build-finished", _end)
    return {"parallel_read_safe": False}
