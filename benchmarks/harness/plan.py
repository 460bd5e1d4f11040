"""The grid of runs that follows from a preset.

Expanding a preset only lists runs; no data are loaded and nothing is computed.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from mfbench.benchmarks.harness.cores import CoreEntry, core_of, entry_of
from mfbench.benchmarks.harness.presets import Preset, TaskPlan, load_preset, parse_preset, preset_names, title_of
from mfbench.benchmarks.observables.base import Plan
from mfbench.benchmarks.tasks.base import Regime
from mfbench.benchmarks.tuning.settings_file import TunedSettings, load_tuned
from mfbench.mfcore.cores.registry import DEFAULT
from mfbench.mfcore.errors import ConfigError

__all__ = [
    "Grid",
    "LeftOut",
    "RunSpec",
    "Selection",
    "Tuning",
    "expand",
    "grid",
    "leaves",
    "load_preset",
    "merge",
    "parse_preset",
    "preset_names",
]

MOST_RUNS = 50_000
"""Of a preset."""


@dataclass(frozen=True)
class Selection:
    """Narrows a preset to some tasks, arms, values of the axes, seeds or draws; an empty tuple selects all.

    `cores` may name one that the preset does not have, which then stands in place of the preset's; `budgets` always do.
    """

    tasks: tuple[str, ...] = ()
    arms: tuple[str, ...] = ()
    n_high: tuple[int | Literal["all"], ...] = ()
    seeds: tuple[int, ...] = ()
    draws: tuple[int, ...] = ()
    n_low: tuple[int | Literal["all"], ...] = ()
    labels: tuple[str, ...] = ()
    pairing: tuple[str, ...] = ()
    coverage: tuple[str, ...] = ()
    e0: tuple[str, ...] = ()
    selection: tuple[str, ...] = ()
    cores: tuple[str, ...] = ()
    budgets: tuple[float, ...] = ()

    def admits(self, spec: RunSpec) -> bool:
        """Say whether a run is selected; one on all HF labels stands beside every set size."""
        regime = spec.regime
        sizes = spec.all_high or not self.n_high or spec.n_high in self.n_high
        wanted = (
            (self.tasks, spec.task),
            (self.arms, spec.arm),
            (self.seeds, spec.seed),
            (self.draws, spec.draw),
            (self.n_low, regime.n_low),
            (tuple(Regime(labels=text).labels for text in self.labels), regime.labels),
            (self.pairing, regime.pairing),
            (self.coverage, regime.coverage),
            (self.e0, regime.e0),
            (self.selection, regime.selection),
        )
        return sizes and all(not chosen or value in chosen for chosen, value in wanted)


@dataclass(frozen=True)
class Tuning:
    """The search for a run's settings: its cost, and the data that it rests on.

    Attributes
    ----------
    source
        The settings file.
    trials, atom_gradients
        Number of trials of the arm, and what they spent in all.
    data
        sha256 of the task's data files that were tuned on, by name.
    """

    source: str
    trials: int
    atom_gradients: float
    data: Mapping[str, str]


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
    patience
        HF validation checks without a better one before training ends (rule "converged"); None spends the budget.
    budget_name
        Name of the budget where it is an axis; "default" where it is none.
    tuning
        Where the settings were tuned; None if they were not.
    observables
        Plans of the observables that the potential is measured on, by name; beside them come those of every run.
    core
        The network; None: the one that the settings name.
    preset_file
        File of the preset; "" for one that comes along.
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
    patience: int | None = None
    tuning: Tuning | None = None
    observables: Mapping[str, Plan] = field(default_factory=dict)
    core: CoreEntry | None = None
    budget_name: str = "default"
    preset_file: str = ""

    @property
    def of_preset(self) -> str:
        """How messages call the preset and the task of the run; of runs that no preset has, the task."""
        task = f"task '{self.task}'"
        return f"{title_of(self.preset, self.preset_file)}, {task}" if self.preset else task

    @property
    def chosen_core(self) -> CoreEntry:
        """The network, or the one that the settings name."""
        return self.core or core_of(self.settings)

    @property
    def core_name(self) -> str:
        """Name of the network in rows and tables."""
        return self.chosen_core.label

    @property
    def n_high(self) -> int | Literal["all"]:
        """HF set size as reported: the ceiling has all HF labels, whatever its regime's split."""
        return "all" if self.all_high else self.regime.n_high

    def cell(self) -> dict[str, Any]:
        """Subject of the run, without how it is computed: in reports a newer run replaces an older one."""
        regime = self.regime.model_dump(mode="json") | {"n_high": self.n_high}
        if regime["selection"] == "default":  # stored runs from before it was an axis stand in the same cells
            del regime["selection"]
        cell = {
            "task": self.task,
            "options": dict(self.options),
            "regime": regime,
            "arm": self.arm,
            "seed": self.seed,
            "draw": self.draw,
        }
        if self.budget_name != "default":
            cell["budget"] = self.budget_name
        # stored runs from before there was a choice of cores are of the default one, and stand in the same cells
        return cell if self.core_name == DEFAULT else cell | {"core": self.core_name}

    def title(self) -> str:
        """One line for progress bars and messages."""
        r = self.regime
        sizes = f"n_low={r.n_low} n_high={self.n_high}"
        arm = self.arm if self.core_name == DEFAULT else f"{self.arm} on {self.core_name}"
        axes = (("selection", r.selection), ("budget", self.budget_name))
        more = "".join(f" {name}={value}" for name, value in axes if value != "default")
        return f"{self.task} {arm} {sizes} {r.labels}{more} seed={self.seed} draw={self.draw}"


@dataclass(frozen=True)
class LeftOut:
    """An arm that a core is not able to carry, with the reason."""

    task: str
    arm: str
    core: str
    reason: str


@dataclass(frozen=True)
class Grid:
    """The runs of a preset, and the arms that are left out of it."""

    runs: list[RunSpec]
    left_out: list[LeftOut]


def expand(
    preset: Preset,
    selection: Selection = Selection(),
    *,
    tasks: Sequence[str],
    arms: Sequence[str],
    needs_all_high: Callable[[str], bool],
    lacking: Callable[[str, str, str | None], str] = lambda arm, core, checkpoint: "",
) -> list[RunSpec]:
    """List the runs of a preset, as :func:`grid` does."""
    return grid(preset, selection, tasks=tasks, arms=arms, needs_all_high=needs_all_high, lacking=lacking).runs


def grid(
    preset: Preset,
    selection: Selection = Selection(),
    *,
    tasks: Sequence[str],
    arms: Sequence[str],
    needs_all_high: Callable[[str], bool],
    lacking: Callable[[str, str, str | None], str] = lambda arm, core, checkpoint: "",
    usual: Callable[[str, bool], bool] = lambda arm, starts: True,
) -> Grid:
    """List the runs of a preset, and the arms that are left out.

    Parameters
    ----------
    selection
        Narrows the preset.
    tasks, arms
        Registered names.
    needs_all_high
        Whether an arm is given all HF labels: it then runs once, not once per n_high.
    lacking
        Reason why an arm cannot be trained on a core of some name from a checkpoint; "" if it can.
    usual
        Whether an arm is among "all", from a checkpoint or not; others run where preset or selection name them.

    Raises
    ------
    ConfigError
        If the preset or the selection names an unknown task or arm or selects nothing, if two plans give one run
        different budgets or settings, or if tuned settings are missing or of another task.
    """
    _known("task", [plan.task for plan in preset.tasks], tasks)
    _known("task", selection.tasks, tasks)
    _known("arm", selection.arms, arms)
    specs: dict[str, RunSpec] = {}
    left_out: dict[tuple[str, str, str], LeftOut] = {}
    n_runs = 0
    here: dict[str, None] = {}
    plans = [plan for plan in preset.tasks if not selection.tasks or plan.task in selection.tasks]
    for plan in preset.tasks:
        every = plan.arms == "all"
        starts = any(entry.checkpoint is not None for entry in plan.core)
        wanted = [arm for arm in arms if usual(arm, starts) or arm in selection.arms] if every else list(plan.arms)
        _known("arm", wanted, arms)
        _known("arm", plan.arm_settings, arms)
        if plan not in plans:
            continue
        here |= dict.fromkeys(wanted)
        if selection.arms:
            wanted = [arm for arm in wanted if arm in selection.arms]
        tuned = load_tuned(plan.tuned, plan.task) if plan.tuned is not None else None
        settings = {arm: _settings(plan, arm, tuned) for arm in wanted}
        pairs = []
        for arm in wanted:
            for entry in _cores(plan, selection, settings[arm][0]):
                core = entry or core_of(settings[arm][0])
                if every and arm not in selection.arms and not usual(arm, core.checkpoint is not None):
                    continue
                if reason := lacking(arm, core.name, core.checkpoint):
                    left_out[plan.task, arm, core.label] = LeftOut(plan.task, arm, core.label, reason)
                else:
                    pairs.append((arm, entry))
        regimes, repetitions = plan.regimes.regimes(), plan.repetitions()
        n_budgets = len(plan.budgets_of("all", selection.budgets))
        n_runs += len(regimes) * len(repetitions) * len(pairs) * n_budgets
        if n_runs > MOST_RUNS:
            raise ConfigError(
                f"{preset.title}, task '{plan.task}': {len(regimes):,} regimes, {len(repetitions):,} "
                f"repetitions, {n_budgets:,} budget(s) and {len(pairs):,} arms on cores make {n_runs:,} runs with "
                f"those before, more than {MOST_RUNS:,}; divide it into several presets."
            )
        cells = itertools.product(regimes, range(n_budgets), repetitions, pairs)
        for regime, number, (draw, seed), (arm, entry) in cells:
            all_high = needs_all_high(arm)
            name, budget = plan.budgets_of("all" if all_high else regime.n_high, selection.budgets)[number]
            spec = RunSpec(
                task=plan.task,
                regime=regime,
                arm=arm,
                budget=budget,
                budget_name=name,
                seed=seed,
                draw=draw,
                preset=preset.name,
                all_high=all_high,
                settings=settings[arm][0],
                expected_us_per_atom_gradient=plan.expected_us_per_atom_gradient,
                patience=plan.budget.patience if plan.budget is not None else None,
                tuning=settings[arm][1],
                observables=plan.observables,
                core=entry,
                preset_file=preset.file,
            )
            if not selection.admits(spec):
                continue
            # The first regime stands for all of a ceiling run's: they differ in n_high only.
            known = specs.setdefault(repr(spec.cell()), spec)
            if replace(known, regime=spec.regime) != spec:
                raise ConfigError(f"{preset.title}: two plans compute {spec.title()} in different ways.")
    if absent := [arm for arm in selection.arms if here and arm not in here]:
        raise ConfigError(f"{preset.title} has no arm '{absent[0]}'; its arms are {', '.join(here)}.")
    sizes = dict.fromkeys(size for plan in plans for size in plan.regimes.n_high)
    if strange := [size for size in selection.n_high if size != "all" and size not in sizes]:
        listed = ", ".join(map(str, sizes))
        raise ConfigError(f"{preset.title} has no n_high {strange[0]}; its numbers of HF frames are {listed}.")
    if not specs:
        reasons = "".join(f" Left out: {found.arm}: {found.reason}." for found in left_out.values())
        raise ConfigError(f"the selection leaves no run of {preset.title}.{reasons}")
    return Grid(list(specs.values()), list(left_out.values()))


def _cores(plan: TaskPlan, selection: Selection, settings: Mapping[str, Any]) -> list[CoreEntry | None]:
    """Cores of an arm with some settings; None is the one that the settings name.

    Raises
    ------
    ConfigError
        If the selection names a core that is not installed.
    """
    if not selection.cores:
        return [*plan.core] or [None]
    known, chosen = plan.core or [core_of(settings)], list[CoreEntry | None]()
    for name in selection.cores:
        found = [entry for entry in known if name in (entry.label, entry.name)]
        chosen += found or [entry_of(name)]
    return list({entry.label: entry for entry in chosen if entry is not None}.values())


def _settings(plan: TaskPlan, arm: str, tuned: TunedSettings | None) -> tuple[dict[str, Any], Tuning | None]:
    """Settings of an arm: those of all, over them the tuned ones, over these its own."""
    own = plan.arm_settings.get(arm, {})
    if tuned is None:
        return merge(plan.settings, own), None
    if arm not in tuned.arms:
        raise ConfigError(
            f"{tuned.source}: arm '{arm}' was not tuned, only {', '.join(tuned.arms)}; compare these (--arm), or "
            "tune all arms with the same number of trials (mfbench tune)."
        )
    found = tuned.arms[arm]
    twice = sorted(leaves(found.settings).keys() & leaves(own).keys())
    if twice:
        raise ConfigError(f"arm_settings.{arm}.{twice[0]}: {tuned.source} has tuned it; remove one of the two.")
    tuning = Tuning(tuned.source, found.trials, found.atom_gradients, tuned.provenance.data)
    return merge(merge(plan.settings, found.settings), own), tuning


def leaves(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """All values of nested settings by dotted name."""
    found: dict[str, Any] = {}
    for key, value in settings.items():
        found |= leaves(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {prefix + key: value}
    return found


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
