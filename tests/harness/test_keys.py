from __future__ import annotations

import itertools
import shutil
from collections.abc import Callable
from dataclasses import replace
from importlib.machinery import ModuleSpec
from pathlib import Path

import numpy as np
import pytest
import torch
from ase import Atoms

from mfbench.benchmarks.harness import keys
from mfbench.benchmarks.harness.keys import canonical_json, digest, source_hash
from mfbench.benchmarks.harness.plan import RunSpec
from mfbench.benchmarks.harness.prepare import PlannedRun, computed_with, prepare_one
from mfbench.benchmarks.observables.base import Plan
from mfbench.benchmarks.observables.hull.observable import HullPlan
from mfbench.benchmarks.observables.mixing.observable import MixingPlan
from mfbench.benchmarks.observables.registry import observable_of
from mfbench.benchmarks.observables.stability.observable import StabilityPlan
from mfbench.benchmarks.observables.transport.plan import TransportPlan
from mfbench.benchmarks.tasks.base import Regime
from mfbench.benchmarks.tasks.molecular_cc.task import MolecularCC
from mfbench.mfcore.errors import ConfigError
from mfbench.strategies.registry import arm_class
from tests.harness.conftest import spec


def test_equal_values_have_equal_text() -> None:
    assert canonical_json({"b": (1, 2), "a": np.float64(0.5)}) == canonical_json({"a": 0.5, "b": [1, 2]})


@pytest.mark.parametrize("value", [float("nan"), float("inf"), {1, 2}, object(), b"x"])
def test_what_has_no_canonical_text_is_refused(value: object) -> None:
    with pytest.raises((TypeError, ValueError)):
        canonical_json({"x": [value]})


def test_sources_are_hashed_by_name_and_content_wherever_they_lie(tmp_path: Path) -> None:
    for place in ("a", "b"):
        (tmp_path / place / "pkg" / "sub").mkdir(parents=True)
        (tmp_path / place / "pkg" / "x.py").write_text("x = 1\n")
        (tmp_path / place / "pkg" / "sub" / "k.cpp").write_text("int k;\n")
    first, second = tmp_path / "a" / "pkg", tmp_path / "b" / "pkg"
    before = source_hash([first])
    assert source_hash([second]) == before
    (second / "notes.txt").write_text("no source")
    assert source_hash([second]) == before
    (second / "sub" / "k.cpp").write_text("int l;\n")
    changed = source_hash([second])
    (second / "sub" / "k.cpp").rename(second / "sub" / "l.cpp")
    assert len({before, changed, source_hash([second])}) == 3


def with_regime(**changes: object) -> Callable[[RunSpec], RunSpec]:
    return lambda run: replace(run, regime=Regime(**(run.regime.model_dump() | changes)))


@pytest.mark.usefixtures("fakes")
@pytest.mark.parametrize(
    "change",
    [
        lambda run: replace(run, seed=1),
        lambda run: replace(run, draw=1),
        lambda run: replace(run, budget=1001.0),
        lambda run: replace(run, patience=5),
        lambda run: replace(run, arm="fake_steps"),
        lambda run: replace(run, settings={"shift": 0.5}),
        with_regime(n_high=6),
        with_regime(n_low=9),
        with_regime(labels="low=E,high=E"),
        with_regime(pairing="paired"),
    ],
)
def test_the_key_changes_with_each_part(change: Callable[[RunSpec], RunSpec]) -> None:
    assert prepare_one(change(spec())).key != prepare_one(spec()).key


@pytest.mark.usefixtures("fakes")
@pytest.mark.parametrize(
    "change",
    [
        lambda run: replace(run, preset="another"),
        lambda run: replace(run, expected_us_per_atom_gradient=1.0),
        lambda run: replace(run, settings={"shift": 0.0}),
        lambda run: replace(run, budget=1000),
    ],
)
def test_the_key_does_not_change_with_what_decides_no_number(change: Callable[[RunSpec], RunSpec]) -> None:
    assert prepare_one(change(spec())).key == prepare_one(spec()).key


@pytest.mark.usefixtures("fakes")
def test_the_key_changes_with_the_patience() -> None:
    assert prepare_one(replace(spec(), patience=5)).key != prepare_one(replace(spec(), patience=6)).key


@pytest.mark.usefixtures("fakes")
def test_the_key_changes_with_the_data(monkeypatch: pytest.MonkeyPatch) -> None:
    before = prepare_one(spec()).key
    monkeypatch.setenv("MFBENCH_FAKE_DATA", "1" * 64)
    assert prepare_one(spec()).key != before


@pytest.mark.usefixtures("fakes")
def test_each_part_of_the_identity_is_in_the_key() -> None:
    run = prepare_one(spec())
    parts = set(run.identity)
    assert {"data", "split", "regime", "arm", "settings", "seed", "draw", "code"} <= parts
    for part in parts:
        other = PlannedRun(run.spec, run.settings, run.identity | {part: "changed"})
        assert other.key != run.key


@pytest.mark.usefixtures("fakes")
@pytest.mark.parametrize("edited", ["mfcore/data/graphs.py", "strategies/base.py", "mfbench_fakes.py"])
def test_the_code_hash_follows_an_edit(edited: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import mfbench_fakes

    originals = {name: keys._package_folder(name) for name in ("mfbench.mfcore", "mfbench.strategies")}
    for folder in originals.values():
        shutil.copytree(folder, tmp_path / folder.name)
    plugin = shutil.copy(mfbench_fakes.__file__, tmp_path / "mfbench_fakes.py")
    folder_of = keys._package_folder
    monkeypatch.setattr(
        keys, "_package_folder", lambda name: tmp_path / folder_of(name).name if name in originals else folder_of(name)
    )
    monkeypatch.setattr(keys.inspect, "getfile", lambda _: plugin)

    def now() -> str:
        keys.code_hash.cache_clear()
        return keys.code_hash(mfbench_fakes.FakeTask, mfbench_fakes.FakeMean)

    before = now()
    assert now() == before
    with (tmp_path / edited).open("a") as file:
        file.write("# edited\n")
    assert now() != before
    keys.code_hash.cache_clear()


@pytest.fixture
def cells(fakes: Path, monkeypatch: pytest.MonkeyPatch) -> list[Atoms]:
    """Cells for transport, which the fake task has while this fixture is used."""
    import mfbench_fakes

    found = [Atoms("LiCl", [[0, 0, 0], [2, 0, 0]], cell=[4, 4, 4], pbc=True)]
    monkeypatch.setattr(mfbench_fakes.FakeTask, "transport_frames", lambda task: found, raising=False)
    return found


@pytest.mark.usefixtures("fakes")
def test_a_run_has_in_its_identity_the_observables_that_it_asks_for_and_those_of_every_run() -> None:
    assert set(prepare_one(spec()).identity["observables"]) == {"errors"}
    asked = prepare_one(spec(observables={"stability": StabilityPlan(duration_ps=2.0)})).identity["observables"]
    assert set(asked) == {"errors", "stability"}
    assert asked["stability"]["plan"]["duration_ps"] == 2.0


def test_the_key_changes_with_the_plan_and_the_cells_of_an_observable(cells: list[Atoms]) -> None:
    plans = ({}, {"transport": TransportPlan()}, {"transport": TransportPlan(temperatures_k=(600.0, 800.0))})
    seen = {prepare_one(spec(observables=plan)).key for plan in plans}
    cells[0].positions[1, 0] = 2.1
    seen.add(prepare_one(spec(observables=plans[1])).key)
    assert len(seen) == 4
    identity = prepare_one(spec(observables=plans[1])).identity
    assert identity["observables"].pop("transport")["plan"]["temperatures_k"] == [600.0, 800.0, 1000.0]
    assert identity == prepare_one(spec()).identity


@pytest.mark.usefixtures("fakes")
@pytest.mark.parametrize(
    ("name", "plan", "reason"),
    [
        ("transport", TransportPlan(), "this task has no cells"),
        ("mixing", MixingPlan(), "mixing: .*no orderings"),
        ("hull", HullPlan(), "hull: .*no phases of a chemical system"),
    ],
)
def test_an_observable_that_the_task_cannot_serve_is_refused(name: str, plan: Plan, reason: str) -> None:
    with pytest.raises(ConfigError, match=f"preset 'mine', task 'fake_task', key 'observables.{name}': {reason}"):
        prepare_one(spec(preset="mine", observables={name: plan}))


@pytest.mark.usefixtures("fakes")
@pytest.mark.parametrize("error", [KeyError("cells"), SystemExit(1)])
def test_an_observable_whose_identity_raises_is_named(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    def broken(self, task, plan):
        raise error

    monkeypatch.setattr(type(observable_of("stability")), "identity", broken)
    with pytest.raises(ConfigError, match=rf"'observables.stability': its identity raised {type(error).__name__}"):
        prepare_one(spec(preset="mine", observables={"stability": StabilityPlan(duration_ps=2.0)}))


def test_only_runs_that_ask_for_an_observable_have_its_code_in_their_key(
    fakes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each observable's code is its own file, and the sources that it names."""
    folder = keys._package_folder("mfbench.benchmarks.observables")
    observables = shutil.copytree(folder, tmp_path / "observables")
    copies = {str(path): str(tmp_path / "observables" / path.relative_to(folder)) for path in folder.rglob("*.py")}
    find, file_of = keys.find_spec, keys.inspect.getfile
    monkeypatch.setattr(keys, "find_spec", lambda name: replaced(find(name), copies))
    monkeypatch.setattr(keys.inspect, "getfile", lambda what: copies.get(file_of(what), file_of(what)))
    names = ("errors", "stability", "transport", "mixing", "hull", "elastic", "conformers", "barriers")

    def now() -> tuple[str, ...]:
        keys.observable_hash.cache_clear()
        keys.code_hash.cache_clear()
        arm = arm_class("transfer")
        return keys.code_hash(MolecularCC, arm), *(keys.observable_hash(type(observable_of(n))) for n in names)

    seen = [now()]
    edits = ("errors/scores.py", "dynamics.py", "transport/analysis.py", "alloy.py", "hull/observable.py")
    for edited in (*edits, "stability/figure.py", "registry.py"):
        with (observables / edited).open("a") as file:
            file.write("# edited\n")
        seen.append(now())
    keys.observable_hash.cache_clear()
    keys.code_hash.cache_clear()
    changed = [
        {name for name, a, b in zip(("run", *names), old, new, strict=True) if a != b}
        for old, new in itertools.pairwise(seen)
    ]
    assert changed == [
        {"errors"},
        {"stability", "transport"},
        {"transport"},
        {"mixing", "hull", "elastic", "conformers", "barriers"},
        {"hull"},
        set(),
        set(),
    ]


def replaced(spec: ModuleSpec | None, copies: dict[str, str]) -> ModuleSpec | None:
    """The same module, in a copy of its file if there is one."""
    if spec is None or spec.origin not in copies:
        return spec
    return ModuleSpec(spec.name, None, origin=copies[spec.origin])


def test_a_digest_is_a_sha256() -> None:
    assert digest({}) == "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"


def test_a_run_is_known_by_what_computes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    before = computed_with({"core": {"backend": "auto"}, "training": {"accelerator": "cpu"}})
    assert before["torch"] == torch.__version__.partition("+")[0]
    assert before["device"] == "cpu"
    assert computed_with({"core": {"backend": "auto"}, "training": {"accelerator": "cpu"}}) == before
    monkeypatch.setenv("MFBENCH_BACKEND", "reference")
    assert computed_with({"core": {"backend": "auto"}})["backend"] == "reference"
    assert computed_with({"core": {"backend": "numba"}})["backend"] == "numba"
    assert computed_with({"training": {"accelerator": "cuda"}})["device"] == "cuda"
