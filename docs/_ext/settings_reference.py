"""The reference of every setting, made from the pydantic models."""

from __future__ import annotations

import inspect
import re
import types
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from mfbench.benchmarks.harness.executors.cluster.cluster_file import ClusterFile
from mfbench.benchmarks.harness.presets import Axes, BudgetPlan, Preset, TaskPlan
from mfbench.benchmarks.observables.registry import observables
from mfbench.benchmarks.tasks.base import Regime
from mfbench.benchmarks.tuning.space import Parameter, Space
from mfbench.mfcore.cores.registry import core_class, core_names
from mfbench.mfcore.text import markdown_prose
from mfbench.mfcore.training.config import LossConfig, TrainingConfig
from mfbench.strategies.registry import arm_class, arm_names
from mfbench.strategies.settings import StrategySettings


@dataclass(frozen=True)
class Part:
    """A section of the reference.

    Attributes
    ----------
    path
        Dotted place of the keys in a file; "" at its top.
    beyond
        A base whose fields stand elsewhere.
    described_by
        Model whose docstring describes fields of the same names.
    """

    title: str
    path: str
    model: type[BaseModel]
    beyond: type[BaseModel] | None = None
    described_by: type[BaseModel] | None = None

    @property
    def fields(self) -> dict[str, Any]:
        known = set(self.beyond.model_fields) if self.beyond is not None else set()
        fields = self.model.model_fields.items()
        return {name: field for name, field in fields if name not in known and not field.exclude}


CHAPTERS: dict[str, str] = {
    "arms": "Settings of arms: the file of `--settings`, and `settings` and `arm_settings` in a preset",
    "presets": "Presets",
    "observables": "Observables, in a preset",
    "others": "Other files",
}


def parts() -> dict[str, list[Part]]:
    """Return the sections by chapter."""
    arms = [Part("All arms", "", StrategySettings)]
    arms += [Part("Training", "training", TrainingConfig), Part("Loss", "training.loss", LossConfig)]
    arms += [Part(f"Core {name}", "core", core_class(name).Config) for name in core_names()]
    own: dict[type[BaseModel], list[str]] = {}
    for name in arm_names():
        if arm_class(name).Settings is not StrategySettings:
            own.setdefault(arm_class(name).Settings, []).append(name)
    arms += [Part(f"Arms {', '.join(names)}", "", model, StrategySettings) for model, names in own.items()]
    presets = [
        Part("The file", "", Preset),
        Part("A task of it", "tasks", TaskPlan),
        Part("Regimes", "tasks.regimes", Axes, described_by=Regime),
        Part("Budget", "tasks.budget", BudgetPlan),
    ]
    plans = [Part(o.name, f"tasks.observables.{o.name}", o.plan_class) for o in observables()]
    others = [
        Part("Cluster file (`--cluster`)", "", ClusterFile),
        Part("Space of mfbench tune (`--space`)", "", Space),
        Part("A parameter of it", "all", Parameter),
    ]
    return {"arms": arms, "presets": presets, "observables": plans, "others": others}


def keys() -> set[str]:
    """Return all dotted keys, as files have them."""
    return {
        f"{part.path}.{name}".strip(".") for chapter in parts().values() for part in chapter for name in part.fields
    }


def undescribed() -> list[str]:
    """Return the keys that nothing is said of, but for those whose name says all with its unit."""
    units = ("_fs", "_ps", "_k", "_s", "_a")
    return [
        f"{part.title}: {name}"
        for chapter in parts().values()
        for part in chapter
        for name, field in part.fields.items()
        if not (field.description or name in _attributes(part.described_by or part.model) or name.endswith(units))
        if not _of_model(field.annotation)
    ]


def text_of(part: Part) -> str:
    """Write a section as Markdown."""
    described = _attributes(part.described_by or part.model)
    lines = [f"### {part.title}", ""]
    if part.path:
        lines += [f"Under `{part.path}:`.", ""]
    if prose := _prose(part.model):
        lines += [_cell(prose, tables=False), ""]
    lines += ["| key | default | |", "|---|---|---|"]
    for name, field in part.fields.items():
        text = field.description or described.get(name, "") or _of_model(field.annotation)
        limits = _limits(field)
        words = "; ".join(word for word in (text.strip().rstrip("."), _kind(field.annotation), limits) if word)
        lines.append(f"| `{name}` | {_default(field)} | {_cell(words)} |")
    return "\n".join([*lines, ""])


def _prose(model: type[BaseModel]) -> str:
    """Return the first paragraphs of a docstring, before its sections; none of a base of pydantic."""
    text = inspect.cleandoc(model.__doc__ or "")
    return re.split(r"\n\n\w+\n-{3,}", text)[0].replace("\n\n", " ").replace("\n", " ")


def _attributes(model: type[BaseModel]) -> dict[str, str]:
    """Return what docstrings say of attributes, by their names."""
    found: dict[str, str] = {}
    for base in reversed(model.__mro__):
        match = re.search(r"Attributes\n-+\n(.*?)(?:\n\n\w+\n-+|\Z)", inspect.cleandoc(base.__doc__ or ""), re.S)
        for block in re.split(r"\n(?=\S)", match[1]) if match else ():
            names, _, text = block.partition("\n")
            words = " ".join(text.split())
            found |= {name.strip(): words[:1].upper() + words[1:] for name in names.split(",")}
    return found


def _default(field: Any) -> str:
    if field.is_required():
        return "required"
    value = field.default if field.default is not PydanticUndefined else field.default_factory()
    if isinstance(value, BaseModel):
        return "see below" if value == type(value)() else f"`{value}`"
    if value is None:
        return "none"
    text = {True: "true", False: "false"}.get(value) if isinstance(value, bool) else None
    return f"`{text or (list(value) if isinstance(value, tuple) else value)}`" if value not in ("", {}, []) else "none"


def _kind(annotation: Any) -> str:
    """Name the choices of a field; of numbers and texts the default says enough."""
    choices = list(dict.fromkeys(_choices(annotation)))
    return f"one of {', '.join(f'`{choice}`' for choice in choices)}" if len(choices) > 1 else ""


def _choices(annotation: Any) -> Iterator[Any]:
    if get_origin(annotation) is Literal:
        yield from get_args(annotation)
    elif get_origin(annotation) in (Union, types.UnionType, Annotated, list):
        for inner in get_args(annotation):
            yield from _choices(inner)


def _of_model(annotation: Any) -> str:
    """Return the first sentence on the model that a field is, or is a list of."""
    found = [annotation, *get_args(annotation)]
    models = [kind for kind in found if isinstance(kind, type) and issubclass(kind, BaseModel)]
    return _prose(models[0]).partition(". ")[0] if models else ""


def _limits(field: Any) -> str:
    signs = {"ge": "at least", "gt": "above", "le": "at most", "lt": "below"}
    found = [
        f"{word} {getattr(item, sign)}"
        for item in field.metadata
        for sign, word in signs.items()
        if hasattr(item, sign)
    ]
    return " and ".join(found)


def _cell(text: str, tables: bool = True) -> str:
    """Write a text in a table; reStructuredText's roles and double backticks are Markdown's code."""
    text = re.sub(r":\w+:`~?([^`]*)`", lambda match: f"`{match[1].rpartition('.')[2]}`", text).replace("``", "`")
    pieces = re.split(r"(`[^`]*`)", text)
    escaped = "".join(p.replace("|", "\\|") if p.startswith("`") and tables else p for p in pieces)
    return "".join(
        piece if piece.startswith("`") else markdown_prose(piece) for piece in re.split(r"(`[^`]*`)", escaped)
    )
