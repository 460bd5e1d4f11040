"""Directive `plugins`: tables of arms, cores, tasks and observables with their metrics, made from the registries."""

from __future__ import annotations

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from mfbench.benchmarks.observables.registry import observables
from mfbench.benchmarks.tasks.registry import make_task, task_names
from mfbench.mfcore.cores.registry import core_class, core_names
from mfbench.mfcore.text import markdown_prose
from mfbench.strategies.registry import arm_class, arm_names, arm_summary


def _arms() -> list[tuple[str, ...]]:
    lines = [("arm", "", "part of a comparison", "asks of a core")]
    for name in arm_names():
        arm = arm_class(name)
        part = {"candidate": "all arms" if arm.usual else "where it is named"}.get(arm.role, arm.role)
        lines.append((f"`{name}`", arm_summary(name), part, ", ".join(arm.conditionings)))
    return lines


def _cores() -> list[tuple[str, ...]]:
    classes = [core_class(name) for name in core_names()]
    return [("core", "", "conditionings"), *((f"`{c.name}`", c.summary, ", ".join(c.conditionings)) for c in classes)]


def _tasks() -> list[tuple[str, ...]]:
    tasks = [make_task(name) for name in task_names()]
    return [("task", "", "levels"), *((f"`{t.name}`", t.summary, " → ".join(t.fidelities)) for t in tasks)]


def _observables() -> list[tuple[str, ...]]:
    return [("observable", ""), *((f"`{o.name}`", o.summary) for o in observables())]


def _metrics() -> list[tuple[str, ...]]:
    lines = [("metric in rows", "", "unit", "better", "observable")]
    for observable in observables():
        for m in observable.metrics:
            lines.append((f"`{m.name}`", m.label, m.unit, m.better or "no direction", observable.name))
    return lines


KINDS = {"arms": _arms, "cores": _cores, "tasks": _tasks, "observables": _observables, "metrics": _metrics}


def text_of(kind: str) -> str:
    """Write a table as Markdown."""
    head, *lines = KINDS[kind]()
    rule = "|" + "---|" * len(head)
    body = ["| " + " | ".join(c if c.startswith("`") else markdown_prose(c) for c in line) + " |" for line in lines]
    return "\n".join(["| " + " | ".join(head) + " |", rule, *body, ""])


class Plugins(SphinxDirective):
    """Lists the plug-ins of a kind."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        return self.parse_text_to_nodes(text_of(self.arguments[0]))


def setup(app: Sphinx) -> dict[str, bool]:
    """Add the directive."""
    app.add_directive("plugins", Plugins)
    return {"parallel_read_safe": True}
