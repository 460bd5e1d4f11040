"""`mfbench measure`: a potential or a released model on a benchmark set."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mfbench.benchmarks.cli.output import say
from mfbench.benchmarks.cli.starting import Checkpoint, Trust
from mfbench.benchmarks.cli.waiting import waiting

if TYPE_CHECKING:
    from mfbench.benchmarks.observables.base import Observable, Plan

EXAMPLES = """Examples:

mfbench measure model --on wiggle150

mfbench measure --core sevennet --checkpoint SevenNet-0 --on oc20neb --plan most=50 --format json"""


class Format(StrEnum):
    """How the scores are written."""

    md = "md"
    json = "json"


def register(app: typer.Typer) -> None:
    """Add this command."""
    app.command("measure", epilog=EXAMPLES)(measure)


def measure(
    on: Annotated[str, typer.Option(help="Benchmark set: wiggle150 or oc20neb (mfbench list tasks).")],
    model: Annotated[
        Path | None, typer.Argument(help="Folder of a potential (mfbench fit); none with --checkpoint.")
    ] = None,
    core: Annotated[
        str | None, typer.Option(help="Core of --checkpoint (mfbench list cores).", show_default="the default one")
    ] = None,
    checkpoint: Checkpoint = None,
    trust_checkpoint: Trust = False,
    fidelity: Annotated[
        str | None, typer.Option(help="Which of the potential's fidelities.", show_default="the highest")
    ] = None,
    plan: Annotated[
        list[str] | None,
        typer.Option("--plan", metavar="KEY=VALUE", help="Of the observable, as in a preset; may be repeated."),
    ] = None,
    format: Annotated[Format, typer.Option(help="How to write the scores.")] = Format.md,
) -> None:
    """Measure a potential on frames of a public benchmark, as observables of runs do (mfbench list observables)."""
    import json

    from mfbench.benchmarks.observables.registry import observables
    from mfbench.benchmarks.sets.registry import set_of
    from mfbench.benchmarks.user.chosen import Chosen

    name = set_of(on).name
    observable = next(each for each in observables() if each.benchmark == name)
    wanted = _plan(observable, plan or ())
    chosen = Chosen.of(model, core, checkpoint, trust_checkpoint)
    level = chosen.level(fidelity)
    with waiting(f"Measuring on {name}"):
        rows = observable.on_benchmark(chosen.potential, wanted, level).rows
    labels = {metric.name: metric.label for metric in observable.metrics}
    if format is Format.json:
        say(json.dumps(rows, indent=1))
        return
    say(f"| {name} | value | unit | n |\n|---|---|---|---|")
    for row in rows:
        say(f"| {labels[row['metric']]} | {row['value']:.4g} | {row['unit'] or '-'} | {row['n']} |")


def _plan(observable: Observable[Any], words: Sequence[str]) -> Plan:
    """Read KEY=VALUE of the plan of an observable, values as in YAML."""
    import yaml
    from pydantic import ValidationError

    from mfbench.mfcore.errors import ConfigError

    given = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals:
            raise ConfigError(f"--plan {word}: expected KEY=VALUE.")
        try:
            given[key] = yaml.safe_load(value)
        except yaml.YAMLError:
            raise ConfigError(f"--plan {word}: the value is no YAML.") from None
    try:
        return observable.plan_class.model_validate(given)
    except ValidationError as error:
        fault = error.errors()[0]
        known = ", ".join(observable.plan_class.model_fields)
        raise ConfigError(f"--plan {'.'.join(map(str, fault['loc']))}: {fault['msg']}; its keys are {known}.") from None
