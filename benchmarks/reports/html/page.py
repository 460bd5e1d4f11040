"""One HTML file that holds a whole report: it works from a disk, without network."""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Any

from mfbench.benchmarks.reports.costs import cost_summaries
from mfbench.benchmarks.reports.html.content import failures, sections
from mfbench.benchmarks.reports.html.data import payload
from mfbench.benchmarks.reports.html.origin import Origin, facts, page_version
from mfbench.benchmarks.reports.results import Results
from mfbench.benchmarks.reports.summary import summaries

SCRIPTS = ("numbers.js", "hover.js", "charts.js", "tables.js", "panel.js", "main.js")
"""Parts of the page's script, in order; they share one scope."""


def page(results: Results, origin: Origin | None = None) -> str:
    """Make the page; the same results and origin give the same text."""
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from plotly.offline import get_plotlyjs

    origin = origin or Origin()
    environment = Environment(
        loader=PackageLoader("mfbench.benchmarks.reports.html"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    costs = cost_summaries(results)
    data = payload(results, origin)
    library = inline(get_plotlyjs())
    script = inline("'use strict';\n(() => {\n" + "\n".join(_read(environment, name) for name in SCRIPTS) + "})();\n")
    template = environment.get_template("page.html.j2")
    return template.render(
        facts=facts(results, origin),
        command=origin.command,
        version=page_version(),
        tasks=list(results.tasks),
        sections=sections(results, summaries(results), costs),
        failures=failures(results, origin),
        data=data,
        json=embedded(data),
        style=_read(environment, "style.css"),
        library=library,
        script=script,
        policy=policy(library, script),
    )


def embedded(value: Any) -> str:
    """Write JSON that can stand in a script element: no name can end it or begin a comment."""
    text = json.dumps(value, allow_nan=False, ensure_ascii=True, separators=(",", ":"))
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def inline(script: str) -> str:
    """Prepare a script of our own or of a library to stand in the page.

    Line ends are those that the HTML parser makes, so that the hash of the text is the browser's.

    Raises
    ------
    ValueError
        If the script would end its element.
    """
    text = script.replace("\r\n", "\n").replace("\r", "\n")
    if "</script" in text.lower() or "<!--" in text:
        raise ValueError("a script with '</script' or '<!--' cannot stand in a page.")
    return text


def policy(*scripts: str) -> str:
    """Write the content security policy: these scripts alone run, and nothing is loaded from anywhere.

    Styles may be set by the chart library; images are what it draws.
    """
    hashes = " ".join(
        f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'" for text in scripts
    )
    return (
        f"default-src 'none'; script-src {hashes}; style-src 'unsafe-inline'; img-src data: blob:; "
        "base-uri 'none'; form-action 'none'"
    )


def _read(environment: Any, name: str) -> str:
    source: str = environment.loader.get_source(environment, name)[0]
    return source
