from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mfbench.benchmarks.harness.plan import Selection, expand, grid, load_preset, merge, parse_preset, preset_names
from mfbench.benchmarks.observables.mixing.observable import MixingPlan
from mfbench.benchmarks.observables.transport.plan import TransportPlan
from mfbench.mfcore.errors import ConfigError

TASKS = ["water", "salt"]
ARMS = ["plain", "joint", "ceiling"]


def content(**plan: object) -> dict[str, object]:
    return {"name": "mine", "tasks": [{"task": "water", "budget": {"atom_gradients": 1e4}} | plan]}


EVERYTHING = Selection()


def runs(selection: Selection = EVERYTHING, **plan: object) -> list:
    preset = parse_preset(content(**plan), "mine.yml")
    return expand(preset, selection, tasks=TASKS, arms=ARMS, needs_all_high=lambda arm: arm == "ceiling")


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"sedes": [1]}, "tasks.0.sedes: unknown key"),
        ({"regimes": {"n_hihg": [4]}}, "tasks.0.regimes.n_hihg: unknown key"),
        ({"regimes": {"n_high": [0]}}, "tasks.0.regimes.n_high"),
        ({"regimes": {"n_high": ["some"]}}, "tasks.0.regimes.n_high"),
        ({"regimes": {"labels": ["low=EF,high=X"]}}, "labels"),
        ({"regimes": {"pairing": ["twins"]}}, "tasks.0.regimes.pairing"),
        ({"budget": {"atom_gradients": -1}}, "tasks.0.budget.atom_gradients"),
        ({"budgets": [1e4]}, "give it, or a list of budgets, but not both"),
        ({"budget": None}, "give it, or a list of budgets, but not both"),
        ({"budget": None, "budgets": [1e4, 1e4]}, "tasks.0.budgets: a value is given twice"),
        ({"budget": None, "budgets": [1e4, -1]}, "tasks.0.budgets.1"),
        ({"budget": {}}, "tasks.0.budget.atom_gradients: this key is missing"),
        ({"seeds": []}, "tasks.0.seeds"),
        ({"seeds": [1, 1]}, "tasks.0.seeds: a value is given twice"),
        ({"regimes": {"n_low": [10, "all", 10]}}, "tasks.0.regimes.n_low: a value is given twice"),
        ({"regimes": {"coverage": ["half"]}}, "tasks.0.regimes.coverage"),
        ({"regimes": {"e0": ["guessed"]}}, "tasks.0.regimes.e0"),
        ({"budget": {"atom_gradients": 1e4, "rule": "until_bored"}}, "tasks.0.budget.rule"),
        ({"budget": {"atom_gradients": 1e4, "rule": "converged"}}, "'converged' needs a patience"),
        ({"budget": {"atom_gradients": 1e4, "patience": 5}}, "'equal-compute' spends everything and has no patience"),
        ({"budget": {"rule": "converged", "atom_gradients": 1e4, "patience": 0}}, "tasks.0.budget.patience"),
        ({"budget": {"rule": "converged", "patience": 5}}, "tasks.0.budget.atom_gradients: this key is missing"),
        ({"regimes": {"n_high": [5]}, "budget": {"atom_gradients": 1e4, "n_high": {6: 1e3}}}, "budget.n_high.6"),
        ({"repeats": 0}, "tasks.0.repeats"),
        ({"repeats": 2, "draws": [0]}, "either repeats, or seeds and draws"),
        ({"observables": {"transport": {"duration_ns": 1}}}, "tasks.0.observables.transport.duration_ns: unknown key"),
        ({"observables": {"transport": {"duration_ps": 1}}}, "tasks.0.observables.transport: blocks"),
        ({"observables": {"mixing": {"fmax_ev_per_a": 0}}}, "tasks.0.observables.mixing.fmax_ev_per_a"),
        ({"observables": {"colour": {}}}, "tasks.0.observables: no observable 'colour': known are errors"),
        ({"observables": ["mixing"]}, "tasks.0.observables"),
        ({"md": {}}, "md: observables stand together, in one mapping; write observables: {stability: ...}"),
        ({"mixing": {}}, "mixing: observables stand together, in one mapping; write observables: {mixing: ...}"),
    ],
)
def test_a_fault_in_a_preset_names_file_and_key(change: dict[str, object], key: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_preset(content(**change), "mine.yml")
    assert "mine.yml" in str(caught.value)
    assert key in str(caught.value)


@pytest.mark.parametrize("text", ["tasks: [", "- 1\n- 2\n", "just words"])
def test_a_file_that_is_no_preset_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "mine.yml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"mine\.yml"):
        load_preset(str(path))


def test_an_unknown_preset_names_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="quick"):
        load_preset("qick")


def test_the_grid_is_the_product_of_the_axes() -> None:
    grid = runs(
        regimes={"n_high": [5, 10], "labels": ["low=EF,high=E", "low=EF,high=EF"]},
        seeds=[0, 1, 2],
        draws=[0, 1],
        arms=["plain", "joint"],
    )
    assert len(grid) == 2 * 2 * 3 * 2 * 2
    assert len({(r.arm, r.n_high, r.regime.labels, r.seed, r.draw) for r in grid}) == len(grid)


def test_repeats_are_pairs_that_share_neither_draw_nor_seed() -> None:
    grid = runs(repeats=3, arms=["plain", "joint"])
    assert sorted({(r.draw, r.seed) for r in grid}) == [(0, 0), (1, 1), (2, 2)]
    assert len(grid) == 3 * 2


def test_every_axis_of_a_regime_is_a_list() -> None:
    axes = {
        "n_low": [20, "all"],
        "n_high": [5, "all"],
        "labels": ["low=EF,high=E", "low=E,high=EF"],
        "pairing": ["paired", "disjoint"],
        "coverage": ["gap", "full"],
        "e0": ["default", "least_squares", "isolated"],
        "selection": ["detrended", "last"],
    }
    grid = runs(regimes=axes, seeds=[0, 1], draws=[2, 3, 4], arms=["plain"])
    cells = {(*r.regime.model_dump().values(), r.seed, r.draw) for r in grid}
    assert len(grid) == len(cells) == 2 * 2 * 2 * 2 * 2 * 3 * 2 * 2 * 3
    one = Selection(
        n_low=("all",),
        n_high=(5,),
        labels=("high=EF,low=E",),
        pairing=("paired",),
        coverage=("full",),
        e0=("isolated",),
        selection=("last",),
    )
    chosen = runs(one, regimes=axes, seeds=[0, 1], draws=[2], arms=["plain"])
    assert [r.seed for r in chosen] == [0, 1]
    found = set(chosen[0].regime.model_dump().values())
    assert found == {"all", 5, "low=E,high=EF", "paired", "full", "isolated", "last"}


def test_budgets_are_an_axis_that_cells_and_titles_name() -> None:
    """Runs at other budgets stand beside each other, in other cells; one that is no axis replaces what it was."""
    grid = runs(budget=None, budgets=[4e4, 1e4], regimes={"n_high": [5, 10]}, arms=["plain", "ceiling"])
    assert len(grid) == 3 * 2
    assert {(r.budget_name, r.budget) for r in grid} == {("10000", 1e4), ("40000", 4e4)}
    assert len({repr(r.cell()) for r in grid}) == len(grid)
    assert " budget=40000 " in next(r.title() for r in grid if r.budget == 4e4)
    (plain,) = runs(arms=["plain"])
    assert plain.budget_name == "default"
    assert "budget" not in plain.cell()
    chosen = runs(Selection(budgets=(1e3, 1e6)), arms=["plain"])
    assert [r.budget for r in chosen] == [1e3, 1e6]
    rule = {"rule": "converged", "atom_gradients": 100.0, "patience": 4}
    (capped,) = runs(Selection(budgets=(1e3,)), budget=rule, arms=["plain"])
    assert (capped.budget, capped.patience) == (1e3, 4)


def test_the_rule_of_the_budget_reaches_the_runs() -> None:
    (one,) = runs(budget={"rule": "converged", "atom_gradients": 100.0, "patience": 4}, arms=["plain"])
    assert (one.budget, one.patience) == (100.0, 4)
    assert runs(arms=["plain"])[0].patience is None


def test_observables_reach_the_runs() -> None:
    (one,) = runs(observables={"transport": {"temperatures_k": [500, 700]}, "mixing": {"max_steps": 9}}, arms=["plain"])
    assert one.observables == {
        "transport": TransportPlan(temperatures_k=(500.0, 700.0)),
        "mixing": MixingPlan(max_steps=9),
    }
    (plain,) = runs(arms=["plain"])
    assert plain.observables == {}


def test_two_plans_may_not_compute_one_run_in_different_ways() -> None:
    plan = {"task": "water", "arms": ["plain"], "budget": {"atom_gradients": 1e4}}
    names = {"tasks": TASKS, "arms": ARMS, "needs_all_high": lambda arm: False}
    same = parse_preset({"name": "mine", "tasks": [plan, plan]}, "mine.yml")
    assert len(expand(same, **names)) == 1
    for change in ({"budget": {"atom_gradients": 2e4}}, {"observables": {"mixing": {}}}):
        other = parse_preset({"name": "mine", "tasks": [plan, plan | change]}, "mine.yml")
        with pytest.raises(ConfigError, match=r"water plain .* in different ways"):
            expand(other, **names)


def test_a_ceiling_runs_once_for_all_set_sizes_with_all_labels() -> None:
    grid = runs(regimes={"n_high": [5, 10, 20]}, seeds=[0, 1], arms="all")
    ceilings = [r for r in grid if r.arm == "ceiling"]
    assert [(r.n_high, r.seed) for r in ceilings] == [("all", 0), ("all", 1)]
    assert len(grid) == 2 * 3 * 2 + 2


def test_a_ceiling_is_the_same_run_whatever_else_is_selected() -> None:
    plan = {"regimes": {"n_high": [5, 10]}, "arms": "all"}
    everything = [r for r in runs(**plan) if r.arm == "ceiling"]
    assert [r for r in runs(Selection(n_high=(10,)), **plan) if r.arm == "ceiling"] == everything


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"draws": [-1]}, "tasks.0.draws.0: Input should be greater than or equal to 0 (found -1)"),
        ({"seeds": [2**40]}, "tasks.0.seeds.0: Input should be less than or equal to 2147483647"),
        ({"seeds": [True]}, "tasks.0.seeds: expected no truth value"),
        ({"repeats": 30_000_000}, "tasks.0.repeats: Input should be less than or equal to 10000 (found 30000000)"),
        (
            {"budget": {"atom_gradients": float("inf")}},
            "budget.atom_gradients: Input should be a finite number",
        ),
        (
            {"regimes": {"n_high": list(range(1, 200)), "n_low": list(range(1, 200))}},
            "39,601 regimes, more than 10,000",
        ),
        ({"regimes": {"n_high": [10**40]}}, "tasks.0.regimes.n_high.0"),
        ({"observables": {"stability": {"temperatures_k": [-1]}}}, "observables.stability.temperatures_k.0"),
        ({"observables": {"stability": {"duration_ps": 1e-9}}}, "duration_ps 1e-09: shorter than one step of 0.5 fs"),
        (
            {"observables": {"hull": {"thresholds_ev_per_atom": [float("nan")]}}},
            "observables.hull.thresholds_ev_per_atom",
        ),
    ],
)
def test_values_that_cannot_be_are_refused_before_anything_runs(change: dict[str, object], problem: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_preset(content(**change), "mine.yml")
    assert problem in str(caught.value)


def test_arms_that_are_not_usual_run_where_they_are_named() -> None:
    found = []
    for arms, selection in (("all", ()), ("all", ("joint",)), (["plain", "joint"], ())):
        preset = parse_preset(content(arms=arms), "mine.yml")
        wanted = grid(
            preset,
            Selection(arms=selection),
            tasks=TASKS,
            arms=ARMS,
            needs_all_high=lambda arm: arm == "ceiling",
            usual=lambda arm, _: arm != "joint",
        )
        found.append({spec.arm for spec in wanted.runs})
    assert found == [{"plain", "ceiling"}, {"joint"}, {"plain", "joint"}]


@pytest.mark.parametrize(
    "name",
    [
        "../../esc",
        "/tmp/esc",
        "a/b",
        "a\\b",
        "..",
        ".hidden",
        "~",
        "-x",
        "",
        "a\nb",
        "\x1b[31m",
        "C:x",
        "nul",
        "com1.x",
        "a ",
        "x" * 101,
        5,
        None,
        "a.",
        "tab\there",
    ],
)
def test_a_preset_writes_into_no_other_folder(name: object) -> None:
    with pytest.raises(ConfigError, match=r"^mine\.yml: name: "):
        parse_preset(content() | {"name": name}, "mine.yml")


@pytest.mark.parametrize("name", ["mine", "Li6PS5Cl 600 K", "größe_2.1", "2026-11-30", "run+1"])
def test_a_preset_may_have_any_name_of_a_folder(name: str) -> None:
    assert parse_preset(content() | {"name": name}, "mine.yml").name == name


def test_a_preset_of_too_many_runs_says_how_many() -> None:
    with pytest.raises(ConfigError, match=r"10,000 repetitions, 1 budget\(s\) and 2 arms on cores make 60,000 runs"):
        runs(regimes={"n_high": [5, 10, 20]}, repeats=10_000, arms=["plain", "joint"])


def test_a_selection_narrows_the_grid() -> None:
    plan = {"regimes": {"n_high": [5, 10]}, "seeds": [0, 1], "draws": [0, 1], "arms": ["plain", "joint"]}
    (one,) = runs(Selection(arms=("joint",), n_high=(10,), seeds=(1,), draws=(0,)), **plan)
    assert (one.arm, one.n_high, one.seed, one.draw) == ("joint", 10, 1, 0)


@pytest.mark.parametrize(
    ("selection", "name"),
    [(Selection(arms=("jiont",)), "jiont"), (Selection(tasks=("wine",)), "wine"), (Selection(seeds=(7,)), "mine")],
)
def test_a_selection_of_nothing_is_an_error(selection: Selection, name: str) -> None:
    with pytest.raises(ConfigError, match=name):
        runs(selection, arms=["plain", "joint"])


@pytest.mark.parametrize("plan", [{"arms": ["jiont"]}, {"arm_settings": {"jiont": {}}}, {"task": "jiont"}])
def test_an_unknown_name_in_a_preset_is_an_error_before_anything_runs(plan: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match="jiont"):
        runs(**plan)


def test_settings_of_an_arm_go_over_those_of_all() -> None:
    grid = runs(
        settings={"core": {"lmax": 2, "cutoff": 5.0}, "e0": "isolated"},
        arm_settings={"joint": {"core": {"lmax": 1}}},
        arms=["plain", "joint"],
    )
    settings = {r.arm: r.settings for r in grid}
    assert settings["plain"] == {"core": {"lmax": 2, "cutoff": 5.0}, "e0": "isolated"}
    assert settings["joint"] == {"core": {"lmax": 1, "cutoff": 5.0}, "e0": "isolated"}


def test_a_budget_may_depend_on_the_set_size() -> None:
    budget = {"atom_gradients": 100.0, "n_high": {5: 10.0, "all": 1000.0}}
    grid = runs(regimes={"n_high": [5, 10]}, budget=budget, arms=["plain", "ceiling"])
    assert {r.n_high: r.budget for r in grid} == {5: 10.0, 10: 100.0, "all": 1000.0}


def test_merging_leaves_its_arguments_alone() -> None:
    base, over = {"a": {"b": 1}}, {"a": {"c": 2}}
    assert merge(base, over) == {"a": {"b": 1, "c": 2}}
    assert (base, over) == ({"a": {"b": 1}}, {"a": {"c": 2}})


@pytest.mark.parametrize("name", preset_names())
def test_the_presets_that_come_along_are_valid(name: str) -> None:
    assert load_preset(name).name == name


def test_quick_and_standard_come_along() -> None:
    assert {"quick", "standard"} <= set(preset_names())


def test_an_observable_without_a_word_has_its_default_plan() -> None:
    (one,) = runs(observables={"mixing": None}, arms=["plain"])
    assert one.observables == {"mixing": MixingPlan()}


def test_an_arm_that_the_preset_lacks_is_refused_with_those_that_it_has() -> None:
    with pytest.raises(ConfigError, match="preset 'mine' has no arm 'joint'; its arms are plain"):
        runs(Selection(arms=("plain", "joint")), arms=["plain"])


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"name": "p", "tasks": ["h2co"]}, "tasks.0: expected keys with values, such as `name: value` (found 'h2co')"),
        ({"name": "p", "tasks": "h2co"}, "tasks: expected a list (found 'h2co')"),
        ({"name": None, "tasks": [{"task": "h2co"}]}, "name: expected text (found None)"),
        ({"name": "p", "tasks": [{"task": "h2co"}], "budgets": [1e5]}, "budgets: unknown key; there are name, "),
        (
            {"name": "p", "tasks": [{"task": "h2co", "arm": "transfer"}]},
            "tasks.0.arm: unknown key; there are task, regimes, ",
        ),
        (
            {"name": "p", "tasks": [{"task": "h2co", "regimes": {"low": 1}}]},
            "tasks.0.regimes.low: unknown key; there are n_low, ",
        ),
    ],
)
def test_faults_of_a_preset_speak_of_keys_and_not_of_classes(content: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError) as error:
        parse_preset(content, "p.yml")
    assert words in str(error.value)
    assert "TaskPlan" not in str(error.value)
