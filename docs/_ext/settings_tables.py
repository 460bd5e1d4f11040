"""Directive `settings`: a chapter of the reference of settings."""

from __future__ import annotations

from docutils import nodes
from settings_reference import CHAPTERS, parts, text_of
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective


class Settings(SphinxDirective):
    """Lists the settings of a chapter, a section for each model."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        chapter = self.arguments[0]
        texts = [f"## {CHAPTERS[chapter]}", "", *map(text_of, parts()[chapter])]
        return self.parse_text_to_nodes("\n".join(texts), allow_section_headings=True)


def setup(app: Sphinx) -> dict[str, bool]:
    """Add the directive."""
    app.add_directive("settings", Settings)
    return {"parallel_read_safe": True}
