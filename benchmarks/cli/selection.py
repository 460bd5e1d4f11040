"""The options that `mfbench run`, `plan` and `tune` choose runs of a preset with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from mfbench.mfcore.training.budget import LARGEST_BUDGET

if TYPE_CHECKING:
    from mfbench.benchmarks.harness.plan import Grid
    from mfbench.benchmarks.harness.presets import Preset

Preset_ = Annotated[
    str, typer.Argument(metavar="PRESET", help="Name of a preset (mfbench list presets), or a YAML file.")
]
Task = Annotated[list[str] | None, typer.Option(help="Only this task; may be repeated, as all that begin with only.")]
Arm = Annotated[list[str] | None, typer.Option(help="Only this arm.")]
NHigh = Annotated[list[str] | None, typer.Option(help="Only this number of HF frames, or all; ceilings always run.")]
Seed = Annotated[list[int] | None, typer.Option(help="Only this model seed.")]
Draw = Annotated[list[int] | None, typer.Option(help="Only this HF-subset draw.")]
NLow = Annotated[list[str] | None, typer.Option(help="Only this number of LF frames, or all.")]
Labels = Annotated[list[str] | None, typer.Option(help="Only these labels, as in low=EF,high=E.")]
Pairing = Annotated[list[str] | None, typer.Option(help="Only this pairing: paired or disjoint.")]
Coverage = Annotated[list[str] | None, typer.Option(help="Only this coverage: gap or full.")]
E0 = Annotated[list[str] | None, typer.Option(help="Only this policy of the reference energies.")]
Rule = Annotated[
    list[str] | None,
    typer.Option("--selection", help="Only this rule of selection of the weights, where the preset has several."),
]
Budgets = Annotated[
    list[float] | None,
    typer.Option(
        "--budget",
        min=1,
        max=LARGEST_BUDGET,
        help="Atom gradients of each run, in place of the preset's; repeated: an axis.",
    ),
]
Core = Annotated[
    list[str] | None, typer.Option(help="This network, with the preset's settings of it (mfbench list cores).")
]


def runs_of(
    preset: str,
    task: list[str] | None,
    arm: list[str] | None,
    n_high: list[str] | None,
    seed: list[int] | None,
    draw: list[int] | None,
    n_low: list[str] | None,
    labels: list[str] | None,
    pairing: list[str] | None,
    coverage: list[str] | None,
    e0: list[str] | None,
    core: list[str] | None,
    *,
    rule: list[str] | None = None,
    budget: list[float] | None = None,
    tuned: bool = True,
    trust: bool = False,
) -> tuple[Preset, Grid]:
    """Read a preset and list its runs that are selected; without their tuned settings if so asked.

    With `trust`, the checkpoints that these runs start from are read though they are pickles.

    Raises
    ------
    ConfigError
        If the preset is faulty, or the selection names what there is not or leaves nothing.
    """
    from mfbench.benchmarks.harness.cores import lacking
    from mfbench.benchmarks.harness.named_checkpoints import trust_checkpoints
    from mfbench.benchmarks.harness.plan import Selection, grid
    from mfbench.benchmarks.harness.presets import load_preset
    from mfbench.benchmarks.tasks.registry import task_names
    from mfbench.mfcore.errors import ConfigError
    from mfbench.strategies.registry import arm_class, arm_names, is_usual, unusable_arms

    wanted = Selection(
        tasks=tuple(task or ()),
        arms=tuple(arm or ()),
        n_high=tuple(_size(text) for text in n_high or ()),
        seeds=tuple(seed or ()),
        draws=tuple(draw or ()),
        n_low=tuple(_size(text) for text in n_low or ()),
        labels=tuple(labels or ()),
        pairing=tuple(pairing or ()),
        coverage=tuple(coverage or ()),
        e0=tuple(e0 or ()),
        selection=tuple(rule or ()),
        cores=tuple(core or ()),
        budgets=tuple(sorted(set(budget or ()))),
    )
    chosen = load_preset(preset)
    if not tuned:
        chosen = chosen.model_copy(update={"tasks": [p.model_copy(update={"tuned": None}) for p in chosen.tasks]})
    broken = unusable_arms()
    named = [name for plan in chosen.tasks for name in (*(() if plan.arms == "all" else plan.arms), *plan.arm_settings)]
    for name in (*wanted.arms, *named):
        if name in broken:
            raise ConfigError(broken[name])
    found = grid(
        chosen,
        wanted,
        tasks=task_names(),
        arms=arm_names(),
        needs_all_high=lambda name: arm_class(name).needs_all_high,
        lacking=lacking,
        usual=is_usual,
    )
    if trust:
        trust_checkpoints(found.runs)
    return chosen, found


def left_out(found: Grid) -> list[str]:
    """Lines that say which arms are left out of the runs, and why."""
    return [f"left out: {arm.task} {arm.arm}: {arm.reason}." for arm in found.left_out]


def _size(text: str) -> Any:
    if text == "all" or (text.isdigit() and int(text) > 0):
        return text if text == "all" else int(text)
    raise typer.BadParameter(f"'{text}': expected a positive number, or all")
