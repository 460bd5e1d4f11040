"""Presets: which arms run on which task under which regimes, with which budget.

A preset is a YAML file, one of mfbench's own (`quick`, `standard`) or the user's. Unknown keys and impossible
values are errors that name the key.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    Field,
    PositiveFloat,
    PrivateAttr,
    SerializeAsAny,
    ValidationError,
    create_model,
    field_validator,
    model_validator,
)

from mfbench.benchmarks.harness.cores import CoreEntry
from mfbench.benchmarks.observables.base import Plan
from mfbench.benchmarks.observables.registry import (
    observable_names,
    observable_of,
    observables,
    unusable_observables,
)
from mfbench.benchmarks.tasks.base import Regime
from mfbench.mfcore.data.reference_energies import ReferencePolicy
from mfbench.mfcore.documents import parse_yaml, read_document
from mfbench.mfcore.errors import ConfigError
from mfbench.mfcore.settings_model import SettingsModel, faults, odd_key, shortened
from mfbench.mfcore.training.budget import LARGEST_BUDGET, Rule
from mfbench.mfcore.training.config import SelectionRule

MOST_REPEATS = 10_000
MOST_REGIMES = 10_000
LARGEST_SEED = 2**31 - 1

Number = Annotated[int, Field(ge=0, le=LARGEST_SEED)]
"""A draw or a seed."""

Positive = Annotated[int, Field(ge=1, le=10**9)]
Count = Positive | Literal["all"]
AtomGradients = Annotated[float, Field(gt=0, le=LARGEST_BUDGET)]


class Axes(SettingsModel):
    """The regimes of a task: every combination of these lists (see :class:`mfbench.benchmarks.tasks.base.Regime`)."""

    n_low: list[Count] = Field(default=["all"], min_length=1)
    n_high: list[Count] = Field(default=["all"], min_length=1)
    labels: list[str] = Field(default=["low=EF,high=E"], min_length=1)
    pairing: list[Literal["paired", "disjoint"]] = Field(default=["disjoint"], min_length=1)
    coverage: list[Literal["gap", "full"]] = Field(default=["gap"], min_length=1)
    e0: list[ReferencePolicy | Literal["default"]] = Field(default=["default"], min_length=1)
    selection: list[SelectionRule | Literal["default"]] = Field(default=["default"], min_length=1)

    @field_validator("*")
    @classmethod
    def _each_once(cls, values: list[Any]) -> list[Any]:
        return _each_once(values)

    def regimes(self) -> list[Regime]:
        """All combinations, the last axis fastest."""
        axes = self.model_dump()
        cells = itertools.product(*axes.values())
        return [Regime.model_validate(dict(zip(axes, cell, strict=True))) for cell in cells]

    @model_validator(mode="after")
    def _regimes_are_valid(self) -> Axes:
        number = math.prod(len(values) for values in self.model_dump().values())
        if number > MOST_REGIMES:
            raise ValueError(f"the axes span {number:,} regimes, more than {MOST_REGIMES:,}")
        try:
            self.regimes()
        except ValidationError as error:
            raise ValueError(faults(error)) from None
        return self


def _each_once(values: list[Any]) -> list[Any]:
    if len(set(values)) < len(values):
        raise ValueError("a value is given twice")
    return values


class BudgetPlan(SettingsModel):
    """Training compute of a run, in atom-gradient evaluations; `n_high` overrides it for some sizes.

    Rule "equal-compute" spends it all. Rule "converged" takes it as a cap and ends a stage after `patience`
    checks on HF validation without a better one, the same for every arm
    (:class:`mfbench.mfcore.training.budget.Budget`). A learning rate that decays over the cap improves the model to the
    end; with `training: {decay: constant}` a run stops where the model does.

    Attributes
    ----------
    rule
        As above.
    atom_gradients
        Of a run.
    patience
        Checks without a better one, of rule "converged".
    n_high
        Atom gradients of runs with so many HF frames, in place of `atom_gradients`.
    """

    rule: Rule = "equal-compute"
    atom_gradients: AtomGradients
    patience: Positive | None = None
    n_high: dict[Count, AtomGradients] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _patience_is_that_of_the_rule(self) -> BudgetPlan:
        if (self.rule == "converged") != (self.patience is not None):
            needs = "needs a patience" if self.rule == "converged" else "spends everything and has no patience"
            raise ValueError(f"rule '{self.rule}' {needs}; give {{rule: converged, atom_gradients: CAP, patience: N}}")
        return self

    def of(self, n_high: Count) -> float:
        """Budget of a run with `n_high` HF frames."""
        return float(self.n_high.get(n_high, self.atom_gradients))


class TaskPlan(SettingsModel):
    """The runs on one task.

    Repetitions are every pair of `draws` and `seeds`, or `repeats` pairs that share neither: draw i with seed i.
    For as many runs the latter say more, since the HF subset varies more than the seed does.
    `budgets`, a list of atom gradients in place of `budget`, is an axis: every budget is trained apart, since the
    learning rate falls over the whole of each. `settings` holds for all arms, `arm_settings` for single ones on top of
    it; both go over the task's own defaults. `core` is an axis: one core or several, each by its name or with settings
    of its own, `{name: equivariant, channels: 16, checkpoint: FILE}`, which go over those of `settings: {core: ...}`;
    what the latter say of another core is left out. Without it runs have the core that the settings name. `tuned`
    names a file of settings that `mfbench tune` wrote, by path or, if it comes along, by its task; its settings go
    between the two, and its trials are booked in the rows. `observables` names further observables that every
    potential is measured on, each with its plan: `{stability: {duration_ps: 1.0}, mixing: {}}`
    (:class:`mfbench.benchmarks.observables.base.Observable`). `expected_us_per_atom_gradient` is for the time
    estimate only, until runs of the arm are stored.

    Attributes
    ----------
    task
        Name of the task.
    arms
        Names of arms, or "all".
    core, tuned, observables, settings, arm_settings, expected_us_per_atom_gradient
        As above.
    seeds, draws, repeats
        Repetitions, as above: seeds and draws, or a number of repeats.
    budget, budgets
        One budget, or a list of atom gradients as an axis.
    """

    task: str
    regimes: Axes = Axes()
    arms: list[str] | Literal["all"] = "all"
    core: list[CoreEntry] = Field(default_factory=list)
    seeds: list[Number] = Field(default=[0], min_length=1)
    draws: list[Number] = Field(default=[0], min_length=1)
    repeats: Annotated[int, Field(ge=1, le=MOST_REPEATS)] | None = None
    budget: BudgetPlan | None = None
    budgets: list[AtomGradients] = Field(default_factory=list)
    settings: dict[str, Any] = Field(default_factory=dict)
    arm_settings: dict[str, dict[str, Any]] = Field(default_factory=dict)
    tuned: str | None = None
    observables: dict[str, SerializeAsAny[Plan]] = Field(default_factory=dict)
    expected_us_per_atom_gradient: PositiveFloat = 100.0

    @model_validator(mode="before")
    @classmethod
    def _no_former_keys(cls, content: Any) -> Any:
        for observable in observables():
            for key in (observable.name, *observable.former_keys):
                if isinstance(content, Mapping) and key in content:
                    form = f"observables: {{{observable.name}: ...}}"
                    raise ValueError(f"{key}: observables stand together, in one mapping; write {form}")
        return content

    @field_validator("observables", mode="before")
    @classmethod
    def _plans(cls, content: Any) -> Any:
        """Validate each plan by its observable's own model, so that errors name the key within it."""
        if not isinstance(content, Mapping):
            return content
        for name in content:
            if reason := unusable_observables().get(name):
                raise ValueError(reason)
            if name not in observable_names():
                raise ValueError(f"no observable {shortened(name)}: known are {', '.join(observable_names())}")
        content = {name: {} if plan is None else plan for name, plan in content.items()}  # `name:` alone, in YAML
        fields: dict[str, Any] = {name: (observable_of(name).plan_class, ...) for name in content}
        model = create_model("Observables", **fields).model_validate(content)
        return {name: getattr(model, name) for name in content}

    @field_validator("settings", "arm_settings", "core", mode="before")
    @classmethod
    def _keys_are_words(cls, content: Any) -> Any:
        if key := odd_key(content):
            raise ValueError(f"key {key}: expected a word")
        return content

    @field_validator("core", mode="before")
    @classmethod
    def _one_or_several(cls, content: Any) -> Any:
        return content if isinstance(content, list) else [content]

    @field_validator("core")
    @classmethod
    def _cores_differ(cls, values: list[CoreEntry]) -> list[CoreEntry]:
        _each_once([entry.label for entry in values])
        return values

    @field_validator("arms")
    @classmethod
    def _some_arm(cls, values: Any) -> Any:
        if not values:
            raise ValueError("expected names of arms, or all")
        return values

    @field_validator("arms", "seeds", "draws")
    @classmethod
    def _each_once(cls, values: Any) -> Any:
        return _each_once(values) if isinstance(values, list) else values

    @model_validator(mode="after")
    def _one_kind_of_budget(self) -> TaskPlan:
        if (self.budget is None) == (not self.budgets):
            raise ValueError("budget: give it, or a list of budgets, but not both")
        return self

    @field_validator("budgets")
    @classmethod
    def _ascending(cls, values: list[float]) -> list[float]:
        return sorted(_each_once(values))

    @model_validator(mode="after")
    def _budgets_are_of_sizes_that_run(self) -> TaskPlan:
        if self.budget is None:
            return self
        unknown = set(self.budget.n_high) - {*self.regimes.n_high, "all"}
        if unknown:
            raise ValueError(f"budget.n_high.{min(unknown, key=str)}: no such size in regimes.n_high")
        return self

    @model_validator(mode="after")
    def _repeats_stand_alone(self) -> TaskPlan:
        if self.repeats is not None and self.model_fields_set & {"seeds", "draws"}:
            raise ValueError("repeats: give either repeats, or seeds and draws")
        return self

    def budgets_of(self, n_high: Count, chosen: Sequence[float] = ()) -> list[tuple[str, float]]:
        """Names and atom gradients of the budgets of a run with `n_high` HF frames; `chosen` stand in place of its own.

        One that is no axis is called "default".
        """
        axis = chosen or self.budgets
        if not axis:
            assert self.budget is not None
            return [("default", self.budget.of(n_high))]
        return [(f"{value:.6g}", float(value)) for value in axis]

    def repetitions(self) -> list[tuple[int, int]]:
        """Pairs of (draw, seed)."""
        if self.repeats is not None:
            return [(number, number) for number in range(self.repeats)]
        return [(draw, seed) for seed, draw in itertools.product(self.seeds, self.draws)]


class Preset(SettingsModel):
    """A named set of task plans.

    Attributes
    ----------
    name
        Of the folder of its runs, in results/runs.
    summary
        One line for `mfbench list presets`.
    tasks
        The task plans.
    """

    name: str = Field(min_length=1, max_length=100)
    summary: str = ""
    tasks: list[TaskPlan] = Field(min_length=1)
    _file: str = PrivateAttr("")

    @property
    def file(self) -> str:
        """Path of the file that it was read from; "" for one that comes along."""
        return self._file

    @property
    def title(self) -> str:
        """How messages call it."""
        return title_of(self.name, self._file)

    @field_validator("name")
    @classmethod
    def _is_a_folder(cls, name: str) -> str:
        """Runs are stored in a folder of this name: it may lead nowhere else, on any system."""
        stem = name.partition(".")[0].upper()
        if not name.isprintable() or re.search(r'[/\\:*?"<>|]', name):
            raise ValueError('expected the name of a folder, without / \\ : * ? " < > | and control characters')
        if name.strip(" ") != name or name[0] in ".-~" or name.endswith("."):
            raise ValueError(
                "expected the name of a folder that neither begins with . - ~ or space nor ends with . or space"
            )
        if stem in ("CON", "PRN", "AUX", "NUL") or re.fullmatch(r"(COM|LPT)\d", stem):
            raise ValueError("this name is reserved on Windows")
        return name


def title_of(name: str, file: str) -> str:
    """How messages call a preset: by its name, and its file if it has one."""
    return f"preset '{name}' ({file})" if file else f"preset '{name}'"


def preset_names() -> list[str]:
    """Names of the presets that come with mfbench."""
    folder = resources.files("mfbench.benchmarks") / "presets"
    return sorted(entry.name.removesuffix(".yml") for entry in folder.iterdir() if entry.name.endswith(".yml"))


def load_preset(name_or_path: str) -> Preset:
    """Read a preset by name, or a YAML file by path.

    Raises
    ------
    ConfigError
        If there is no such preset, or the file is not valid; names the file and the key.
    """
    folder: Path | None = None
    if name_or_path in preset_names():
        source = f"preset {name_or_path}"
        text = (resources.files("mfbench.benchmarks") / "presets" / f"{name_or_path}.yml").read_text(encoding="utf-8")
    elif _is_file(name_or_path):
        source, folder = name_or_path, Path(name_or_path).parent
        text = read_document(Path(name_or_path))
    else:
        raise ConfigError(f"no preset '{name_or_path}': give {', '.join(preset_names())}, or the path of a YAML file.")
    content = parse_yaml(text, source)
    if content is None:
        raise ConfigError(f"{source}: the file is empty; expected the keys of a preset (name, tasks).")
    if not isinstance(content, dict):
        raise ConfigError(f"{source}: expected the keys of a preset (name, tasks), found {type(content).__name__}.")
    preset = parse_preset(content, source)
    if folder is None:
        return preset
    preset = _beside(preset, folder)
    preset._file = source
    return preset


def _beside(preset: Preset, folder: Path) -> Preset:
    """Look for files of tuned settings in the preset's own folder first."""
    plans = [
        plan.model_copy(update={"tuned": str(folder / plan.tuned)})
        if plan.tuned is not None and _is_file(str(folder / plan.tuned))
        else plan
        for plan in preset.tasks
    ]
    return preset.model_copy(update={"tasks": plans})


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
        raise ConfigError(f"{source}: {faults(error, model=Preset)}") from error


def _is_file(path: str) -> bool:
    try:
        return Path(path).is_file()
    except (OSError, ValueError):  # too long, or with a null character
        return False
