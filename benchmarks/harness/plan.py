"""Presets: which arms run on which task under which regimes, and the grid of runs that follows from one.

A preset is a YAML file, one of mfbench's own (`quick`, `standard`) or the user's. Unknown keys and impossible
values are errors that name the key. Expanding a preset only lists runs; nothing is loaded or computed.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PositiveFloat,
    PositiveInt,
    ValidationError,
    model_validator,
)

from benchmarks.tasks.base import Regime
from mfcore.errors import ConfigError

Count = PositiveInt | Literal["all"]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Axes(_Model):
    """The regimes of a task: every combination of these lists (see :class:`benchmarks.tasks.base.Regime`)."""

    n_low: list[Count] = Field(default=["all"], min_length=1)
    n_high: list[Count] = Field(default=["all"], min_length=1)
    labels: list[str] = Field(default=["low=EF,high=E"], min_length=1)
    pairing: list[Literal["paired", "disjoint"]] = Field(default=["disjoint"], min_length=1)
    coverage: list[Literal["gap", "full"]] = Field(default=["gap"], min_length=1)
    e0: list[str] = Field(default=["default"], min_length=1)

    def regimes(self) -> list[Regime]:
        """All combinations, the last axis fastest."""
        axes = self.model_dump()
        cells = itertools.product(*axes.values())
        return [Regime.model_validate(dict(zip(axes, cell, strict=True))) for cell in cells]

    @model_validator(mode="after")
    def _regimes_are_valid(self) -> Axes:
        try:
            self.regimes()
        except ValidationError as error:
            raise ValueError("; ".join(f"{_dotted(e['loc'])}: {_explain(e)}" for e in error.errors())) from None
        return self


class BudgetPlan(_Model):
    """Training compute of a run, in atom-gradient evaluations; `n_high` overrides it for some sizes."""

    atom_gradients: PositiveFloat
    n_high: dict[Count, PositiveFloat] = {}

    def of(self, n_high: Count) -> float:
        """Budget of a run with `n_high` HF frames."""
        return float(self.n_high.get(n_high, self.atom_gradients))


class TaskPlan(_Model):
    """What to run on one task.

    Repetitions are every pair of `draws` and `seeds`, or `repeats` pairs that share neither: draw i with seed i.
    For as many runs the latter say more, since the HF subset varies more than the seed does.
    `settings` holds for all arms, `arm_settings` for single ones on top of it; both go over the task's own
    defaults. `expected_us_per_atom_gradient` is for the time estimate only, until runs of the arm are stored.
    """

    task: str
    regimes: Axes = Axes()
    arms: list[str] | Literal["all"] = "all"
    seeds: list[int] = Field(default=[0], min_length=1)
    draws: list[int] = Field(default=[0], min_length=1)
    repeats: PositiveInt | None = None
    budget: BudgetPlan
    settings: dict[str, Any] = {}
    arm_settings: dict[str, dict[str, Any]] = {}
    expected_us_per_atom_gradient: PositiveFloat = 100.0


    @model_validator(mode="after")
    def _repeats_stand_alone(self) -> TaskPlan:
        if self.repeats is not None and self.model_fields_set & {"seeds", "draws"}:
            raise ValueError("repeats: give either repeats, or seeds and draws")
        return self

    def repetitions(self) -> list[tuple[int, int]]:
        """Pairs of (draw, seed)."""
        if self.repeats is not None:
            return [(number, number) for number in range(self.repeats)]
        return [(draw, seed) for seed, draw in itertools.product(self.seeds, self.draws)]


class Preset(_Model):
    """A named set of task plans."""

    name: str
    summary: str = ""
    tasks: list[TaskPlan] = Field(min_length=1)


@dataclass(frozen=True)
class Selection:
    """Narrows a preset to some tasks, arms, HF set sizes, seeds or draws; an empty tuple selects all."""

    tasks: tuple[str, ...] = ()
    arms: tuple[str, ...] = ()
    n_high: tuple[int | Literal["all"], ...] = ()
    seeds: tuple[int, ...] = ()
    draws: tuple[int, ...] = ()


@dataclass(frozen=True)
class RunSpec:
    """One cell of the grid, before its data and settings are resolved.

    Attributes
    ----------
    all_high
        The arm is given every HF label (the ceiling); the regime then only sets the tests and validation.
    options
        What a task made of files is told; empty for registered tasks.
    settings
        The preset's settings for this arm, over which nothing else goes.
    """

    task: str
    regime: Regime
    arm: str
    budget: float
    seed: int
    draw: int
    preset: str = ""
    all_high: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    expected_us_per_atom_gradient: float = 100.0

    @property
    def n_high(self) -> int | Literal["all"]:
        """HF set size as reported: the ceiling has all HF labels, whatever its regime's split."""
        return "all" if self.all_high else self.regime.n_high

    def cell(self) -> dict[str, Any]:
        """What the run is about, without how it is computed: in reports a newer run replaces an older one."""
        regime = self.regime.model_dump(mode="json") | {"n_high": self.n_high}
        return {
            "task": self.task,
            "options": dict(self.options),
            "regime": regime,
            "arm": self.arm,
            "seed": self.seed,
            "draw": self.draw,
        }

    def title(self) -> str:
        """One line for progress bars and messages."""
        r = self.regime
        sizes = f"n_low={r.n_low} n_high={self.n_high}"
        return f"{self.task} {self.arm} {sizes} {r.labels} seed={self.seed} draw={self.draw}"


def preset_names() -> list[str]:
    """Names of the presets that come with mfbench."""
    folder = resources.files("benchmarks") / "presets"
    return sorted(entry.name.removesuffix(".yml") for entry in folder.iterdir() if entry.name.endswith(".yml"))


def load_preset(name_or_path: str) -> Preset:
    """Read a preset by name, or a YAML file by path.

    Raises
    ------
    ConfigError
        If there is no such preset, or the file is not valid; names the file and the key.
    """
    if name_or_path in preset_names():
        source = f"preset {name_or_path}"
        text = (resources.files("benchmarks") / "presets" / f"{name_or_path}.yml").read_text(encoding="utf-8")
    elif Path(name_or_path).is_file():
        source = name_or_path
        text = Path(name_or_path).read_text(encoding="utf-8")
    else:
        raise ConfigError(f"no preset '{name_or_path}': give {', '.join(preset_names())}, or the path of a YAML file.")
    try:
        content = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError(f"{source}: not valid YAML: {error}") from error
    if not isinstance(content, dict):
        raise ConfigError(f"{source}: expected the keys of a preset (name, tasks), found {type(content).__name__}.")
    return parse_preset(content, source)


def parse_preset(content: Mapping[str, Any], source: str) -> Preset:
    """Validate a preset; `source` names it in errors.

    Raises
    ------
    ConfigError
        Names each faulty key and what it should be.
    """
    try:
        return Preset.model_validate(content)
    except ValidationError as error:
        faults = [f"{_dotted(fault['loc'])}: {_explain(fault)}" for fault in error.errors()]
        raise ConfigError(f"{source}: " + "; ".join(dict.fromkeys(faults))) from error


def _dotted(location: Iterable[int | str]) -> str:
    # Pydantic appends the tried member of a union ("int", "literal['all']"), which is no key of the file.
    unions = ("int", "constrained-int", "literal[", "list[", "function-")
    parts = [str(part) for part in location if not str(part).startswith(unions)]
    return ".".join(parts)


def _explain(fault: Mapping[str, Any]) -> str:
    if fault["type"] == "extra_forbidden":
        return "unknown key"
    if fault["type"] == "missing":
        return "this key is missing"
    return f"{fault['msg']} (found {fault['input']!r})"


def expand(
    preset: Preset,
    selection: Selection = Selection(),
    *,
    tasks: Sequence[str],
    arms: Sequence[str],
    needs_all_high: Callable[[str], bool],
) -> list[RunSpec]:
    """List the runs of a preset.

    Parameters
    ----------
    selection
        Narrows the preset.
    tasks, arms
        Registered names.
    needs_all_high
        Whether an arm is given all HF labels: it then runs once, not once per n_high.

    Raises
    ------
    ConfigError
        If the preset or the selection names an unknown task or arm, or selects nothing.
    """
    _known("task", [plan.task for plan in preset.tasks], tasks)
    _known("task", selection.tasks, tasks)
    _known("arm", selection.arms, arms)
    specs: dict[str, RunSpec] = {}
    for plan in preset.tasks:
        wanted = list(arms) if plan.arms == "all" else plan.arms
        _known("arm", wanted, arms)
        _known("arm", plan.arm_settings, arms)
        if selection.tasks and plan.task not in selection.tasks:
            continue
        for regime, (draw, seed), arm in itertools.product(plan.regimes.regimes(), plan.repetitions(), wanted):
            all_high = needs_all_high(arm)
            spec = RunSpec(
                task=plan.task,
                regime=regime,
                arm=arm,
                budget=plan.budget.of("all" if all_high else regime.n_high),
                seed=seed,
                draw=draw,
                preset=preset.name,
                all_high=all_high,
                settings=merge(plan.settings, plan.arm_settings.get(arm, {})),
                expected_us_per_atom_gradient=plan.expected_us_per_atom_gradient,
            )
            if _selected(spec, selection):
                # The first regime stands for all of a ceiling run's: they differ in n_high only.
                specs.setdefault(repr(spec.cell()), spec)
    if not specs:
        raise ConfigError(f"the selection leaves no run of preset '{preset.name}'.")
    return list(specs.values())


def _selected(spec: RunSpec, selection: Selection) -> bool:
    sizes = spec.all_high or not selection.n_high or spec.n_high in selection.n_high
    return (
        sizes
        and (not selection.arms or spec.arm in selection.arms)
        and (not selection.seeds or spec.seed in selection.seeds)
        and (not selection.draws or spec.draw in selection.draws)
    )


def _known(what: str, names: Iterable[str], known: Sequence[str]) -> None:
    for name in names:
        if name not in known:
            raise ConfigError(f"no {what} '{name}': known are {', '.join(known)}.")


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Merge two nested mappings; where both have a value, that of `over` counts."""
    merged = dict(base)
    for key, value in over.items():
        old = merged.get(key)
        merged[key] = merge(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
    return merged
