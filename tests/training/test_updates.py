"""How a stage may change weights: freely, by low rank, near the start, or less in early layers."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from ase import Atoms
from torch import nn

from mfbench.mfcore.core import READOUT, TRUNK, Core
from mfbench.mfcore.cores.choice import CoreChoice
from mfbench.mfcore.data.training_set import TrainingSet
from mfbench.mfcore.training.budget import Budget
from mfbench.mfcore.training.config import TrainingConfig
from mfbench.mfcore.training.stage import StageTask
from mfbench.mfcore.training.trainer import StageTrainer
from mfbench.mfcore.training.updates import Changes, LowRankUpdate, WeightUpdate, rate_factors
from tests.conftest import HIGH, tiny_settings


def small_core(species: tuple[int, ...]) -> Core:
    torch.manual_seed(0)
    settings = tiny_settings()["core"]
    assert isinstance(settings, dict)
    return CoreChoice.model_validate(settings).build(species, [HIGH], "none", 10.0).double()


def trained(core: Core, data: TrainingSet, changes: Changes, steps: int = 12, **training: object) -> StageTrainer:
    config = TrainingConfig(precision="float64", validation_checks=2, ema=0.0, batch_atoms=40, **training)
    task = StageTask("stage", {HIGH: data.train[HIGH]}, data.labels, HIGH, changes=changes)
    trainer = StageTrainer(core, task, config, Budget(40.0 * steps), seed=3)
    trainer.fit()
    return trainer


@pytest.fixture
def core(training_set: TrainingSet) -> Core:
    return small_core(tuple(int(n) for n in np.unique(np.concatenate([a.numbers for a in training_set.train[HIGH]]))))


def test_the_product_has_the_rank_that_was_asked_for_and_starts_at_nothing() -> None:
    torch.manual_seed(0)
    weights = {"stack": nn.Parameter(torch.randn(3, 8, 6)), "thin": nn.Parameter(torch.randn(8, 1))}
    before = {name: w.detach().clone() for name, w in weights.items()}
    update = LowRankUpdate(weights, 2, seed=1)
    update.push()
    assert all(torch.equal(weights[name], before[name]) for name in weights)
    assert update.owners == ["stack", "stack", "thin"]
    assert [tuple(p.shape) for p in update.parameters] == [(3, 8, 2), (3, 2, 6), (8, 1)]
    with torch.no_grad():
        update.parameters[1].normal_()
    update.push()
    assert torch.linalg.matrix_rank(weights["stack"].detach() - before["stack"]).tolist() == [2, 2, 2]
    assert torch.equal(weights["thin"], before["thin"])


def test_gradients_of_the_factors_are_those_of_the_product() -> None:
    torch.manual_seed(1)
    weight, x = nn.Parameter(torch.randn(5, 7, dtype=torch.float64)), torch.randn(4, 5, dtype=torch.float64)
    update = LowRankUpdate({"w": weight}, 2, seed=0)
    first, second = update.parameters
    with torch.no_grad():
        second.normal_()
    start = weight.detach().clone()
    update.push()
    (x @ weight).tanh().sum().backward(inputs=[weight])
    update.pull()
    a, b = (p.detach().clone().requires_grad_() for p in (first, second))
    (x @ (start + a @ b)).tanh().sum().backward()
    assert torch.allclose(first.grad, a.grad, rtol=1e-12)
    assert torch.allclose(second.grad, b.grad, rtol=1e-12)


def test_a_free_update_is_the_weights_themselves() -> None:
    weights = {"a": nn.Parameter(torch.ones(2, 2))}
    update = WeightUpdate(weights)
    assert update.parameters[0] is weights["a"]
    assert update.weights[0] is weights["a"]


def test_training_by_low_rank_changes_matrices_by_that_rank_only(core: Core, training_set: TrainingSet) -> None:
    before = {name: p.detach().clone() for name, p in core.named_parameters()}
    trained(core, training_set, Changes(rank=1))
    ranks = {
        name: torch.linalg.matrix_rank(p.detach() - before[name], atol=1e-12)
        for name, p in core.named_parameters()
        if p.ndim >= 2 and sum(p.shape[-2:]) < p.shape[-2] * p.shape[-1]
    }
    assert len(ranks) > 5
    assert max(int(r.max()) for r in ranks.values()) == 1


def test_a_strong_decay_holds_weights_at_the_start_and_none_does_not(core: Core, training_set: TrainingSet) -> None:
    moved = {}
    for anchor in (0.0, 10.0, 1e6):
        fresh = small_core(core.species)
        before = [p.detach().clone() for p in fresh.parameters()]
        trained(fresh, training_set, Changes(anchor=anchor))
        moved[anchor] = sum(
            float((p.detach() - q).square().sum()) for p, q in zip(fresh.parameters(), before, strict=True)
        )
    assert moved[0.0] > moved[10.0] > moved[1e6] == 0.0


def test_rates_fall_from_the_readout_to_the_input(core: Core, training_set: TrainingSet) -> None:
    names = [name for name, _ in core.named_parameters()]
    factors = dict(zip(names, rate_factors(core, names, 0.5), strict=True))
    groups = core.parameter_groups()
    assert {factors[name] for name in groups[READOUT]} == {1.0}
    parts = sorted(group for group in groups if group.startswith(f"{TRUNK}."))
    assert [{factors[name] for name in groups[part]} for part in parts] == [
        {0.5 ** (len(parts) - n)} for n in range(len(parts))
    ]
    assert set(rate_factors(core, names, 1.0)) == {1.0}
    trainer = trained(core, training_set, Changes(layer_decay=0.5), steps=3, decay="constant", warmup=0.0)
    rates = {group["share"]: group["lr"] for group in trainer.optimizer.param_groups}
    assert len(rates) == len(parts) + 1
    for share, rate in rates.items():
        assert rate == pytest.approx(share * trainer.config.learning_rate)


def test_a_stage_by_low_rank_that_is_cut_goes_on_as_if_it_had_not_been(
    core: Core, training_set: TrainingSet, held_out_frames: list[Atoms], tmp_path: object
) -> None:
    whole, cut = small_core(core.species), small_core(core.species)
    settings = TrainingConfig(precision="float64", validation_checks=4, batch_atoms=40, checkpoint_s=0.0)
    task = StageTask(
        "stage", {HIGH: training_set.train[HIGH]}, training_set.labels, HIGH, training_set.validation, None, Changes(1)
    )
    StageTrainer(whole, task, settings, Budget(480.0), 3).fit()

    class Cut(Exception):
        pass

    def cutting(stage: str, spent: float, budget: float) -> None:
        raise Cut

    file = tmp_path / "stage.ckpt"  # type: ignore[operator]
    with pytest.raises(Cut):
        StageTrainer(cut, task, settings, Budget(480.0), 3, file, cutting).fit()
    again = small_core(core.species)
    StageTrainer(again, task, settings, Budget(480.0), 3, file).fit()
    for p, q in zip(whole.parameters(), again.parameters(), strict=True):
        assert torch.equal(p, q)
