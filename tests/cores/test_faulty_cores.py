"""A core of another package that is not what the protocol says is refused in one sentence that names it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from importlib.metadata import EntryPoint
from typing import Any

import numpy as np
import pytest
import torch

from mfbench.mfcore.core import Core, CoreOutput
from mfbench.mfcore.cores import registry
from mfbench.mfcore.cores.registry import core_class, core_from_description
from mfbench.mfcore.cores.validity import checked_class
from mfbench.mfcore.data.graphs import GraphStore
from mfbench.mfcore.data.training_set import TrainingSet
from mfbench.mfcore.errors import ConfigError, SelfCheckError
from mfbench.mfcore.output_checks import check_slope
from mfbench.mfcore.potentials.inference import FrozenPotential
from mfbench.mfcore.training.budget import Budget
from mfbench.mfcore.training.config import TrainingConfig
from mfbench.mfcore.training.stage import StageTask
from mfbench.mfcore.training.trainer import StageTrainer
from mfbench.strategies import registry as arms
from mfbench.strategies.registry import make_arm
from tests.conftest import HIGH, LOW
from tests.cores import test_plugin_core as plugin

Change = Callable[[CoreOutput], Any]


@pytest.fixture(autouse=True)
def _installed(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.syspath_prepend(plugin.PLUGIN)
    registry._points.cache_clear()
    yield
    for points in (registry._points, arms._points):  # the folder has an arm, too
        points.cache_clear()


def changed(change: Change, **members: Any) -> Core:
    """The plug-in's core, with another output."""
    base = plugin.TestPluginCore.core_type()

    def forward(self, batch, forces=True, stress=False, create_graph=False):  # type: ignore[no-untyped-def]
        return change(base.forward(self, batch, forces, stress, create_graph))

    made = type("Changed", (base,), {"forward": forward, "__module__": "elsewhere", **members})
    torch.manual_seed(0)
    return made(base.Config(cutoff=3.0), (1, 8), (LOW, HIGH)).float()


def trainer(core: Core, data: TrainingSet) -> StageTrainer:
    task = StageTask(HIGH, data.train, data.labels, HIGH, data.validation)
    return StageTrainer(core, task, TrainingConfig(batch_frames=8), Budget(2000.0), 0)


def transposed(output: CoreOutput) -> CoreOutput:
    return output if output.forces is None else replace(output, forces=output.forces.T)


FAULTS: dict[str, tuple[Change, str]] = {
    "no forces": (lambda o: replace(o, forces=None), "gave no forces although they were asked for"),
    "a tensor": (lambda o: o.energy, r"gave a Tensor; expected a CoreOutput"),
    "columns": (lambda o: replace(o, energy=o.energy[:, None]), r"energies as .* \(\d+, 1\); .*\(\d+,\)"),
    "transposed": (transposed, r"forces as .* \(3, \d+\); expected real numbers \(\d+, 3\)"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_output_of_a_wrong_kind_is_refused_before_any_step(fault: str, training_set: TrainingSet) -> None:
    change, sentence = FAULTS[fault]
    # the smallest frame has two atoms: no forces are square
    with pytest.raises(SelfCheckError, match=f"core 'fake_pair'.* {sentence}"):
        trainer(changed(change), training_set).fit()


@pytest.mark.parametrize("fault", FAULTS)
def test_a_potential_does_not_answer_with_it(fault: str, training_set: TrainingSet) -> None:
    change, sentence = FAULTS[fault]
    frozen = FrozenPotential([(changed(lambda o: o), HIGH), (changed(change), HIGH)])
    with pytest.raises(SelfCheckError, match=f"core 'fake_pair'.* {sentence}"):
        frozen(frozen.batch(training_set.validation[:4]))


def test_stress_of_a_wrong_shape_is_refused(training_set: TrainingSet) -> None:
    core = changed(lambda o: replace(o, stress=o.stress[0]))
    frozen = FrozenPotential([(core, HIGH)])
    with pytest.raises(SelfCheckError, match=r"core 'fake_pair' gave stress as .* \(3, 3\); .*\(2, 3, 3\)"):
        frozen(frozen.batch(training_set.validation[:2]), stress=True)


def test_no_number_before_any_step_is_not_called_a_divergence(training_set: TrainingSet) -> None:
    for module in ("elsewhere", "mfbench.elsewhere"):
        core = changed(lambda o: replace(o, energy=o.energy * torch.nan), __module__=module)
        with pytest.raises(SelfCheckError, match="core 'fake_pair' gives no finite numbers before any step"):
            trainer(core, training_set).fit()


@pytest.mark.parametrize("factor", [-1.0, 0.9, 2.0])
def test_forces_that_are_no_slope_of_the_energy_are_refused(factor: float, training_set: TrainingSet) -> None:
    core = changed(lambda o: o if o.forces is None else replace(o, forces=factor * o.forces))
    with pytest.raises(SelfCheckError, match="core 'fake_pair': its forces are not the negative gradient"):
        trainer(core, training_set).fit()


@pytest.mark.parametrize("offset", [0.0, 3000.0])
def test_right_forces_pass_in_either_precision(offset: float, training_set: TrainingSet) -> None:
    def single(output: CoreOutput) -> CoreOutput:
        if output.energy.dtype == torch.float64:
            raise RuntimeError("expected scalar type Float but found Double")
        return replace(output, energy=output.energy + offset)

    def rounded(output: CoreOutput) -> CoreOutput:
        return replace(output, energy=(output.energy + offset).float().double())

    frames = training_set.train[LOW]
    for change in (lambda o: o, single, rounded):
        core = changed(change)
        check_slope(core, GraphStore(frames, [LOW] * len(frames), (LOW, HIGH), None, (1, 8), 3.0))
        assert core.dtype == torch.float32  # the copy was converted


def test_a_sound_core_trains(training_set: TrainingSet) -> None:
    assert np.isfinite(trainer(changed(lambda o: o), training_set).fit().validation_energy_mae_ev_per_atom)


class Plain:
    pass


CLASSES: dict[str, tuple[dict[str, Any], str]] = {
    "settings": ({"Config": Plain}, "`Config` of class Odd is .*Plain.*, expected a class on .*CoreConfig"),
    "string": ({"conditionings": "none"}, "`conditionings` of class Odd is 'none', expected a tuple"),
    "unknown": ({"conditionings": ("none", "film")}, "has 'film', known are none, one_hot"),
    "option": ({"options": frozenset({"fp8"})}, "`options` of class Odd has 'fp8', known are tf32"),
    "name": ({"name": "other"}, "has the name 'other', expected that of its entry point, 'odd'"),
    "init": ({"__init__": lambda self, config: None}, r"__init__ of class Odd has parameters \(self, config\), exp"),
    "forward": ({"forward": lambda self, batch: None}, r"forward of class Odd has parameters \(self, batch\), exp"),
}


@pytest.mark.parametrize("fault", CLASSES)
def test_a_class_that_breaks_the_protocol_is_refused_where_it_is_looked_up(fault: str) -> None:
    members, sentence = CLASSES[fault]
    odd = type("Odd", (plugin.TestPluginCore.core_type(),), {"name": "odd", **members})
    with pytest.raises(ConfigError, match=f"core 'odd' of package p: .*{sentence}"):
        checked_class(odd, "odd", "core 'odd' of package p")


def test_a_class_without_its_methods_or_base_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="lacks forward and groups_of"):
        checked_class(type("Odd", (Core,), {"name": "odd", "summary": ""}), "odd", "core 'odd'")
    point = EntryPoint("plain", f"{__name__}:CLASSES", "g")
    with monkeypatch.context() as patch:
        patch.setattr(registry, "_points", lambda: {"plain": point})
        with pytest.raises(ConfigError, match=r"core 'plain': .* is no class on mfbench\.mfcore\.core\.Core"):
            core_class("plain")


def test_a_network_of_a_core_that_is_not_installed_says_what_to_do() -> None:
    description = changed(lambda o: o).description() | {"core": "gone"}
    with pytest.raises(ConfigError, match=r"core 'gone'.* not installed .*install the package that brought it"):
        core_from_description(description)


def test_a_wrong_setting_names_the_core_and_its_keys() -> None:
    with pytest.raises(ConfigError, match=r"'core\.width': core 'equivariant': unknown key, .*cutoff.*by `name`"):
        make_arm("single_fidelity", {"core": {"width": 4}})
    with pytest.raises(ConfigError, match=r"'core\.channels': core 'fake_pair': unknown key, .*n_radial, hidden"):
        make_arm("single_fidelity", {"core": {"name": "fake_pair", "channels": 4}})
    with pytest.raises(ConfigError, match=r"'core\.hidden': core 'fake_pair': Input should be greater"):
        make_arm("single_fidelity", {"core": {"name": "fake_pair", "hidden": 0}})
