"""Storage and training of every core: a part of `tests.contracts.core`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mfbench.mfcore.core import Conditioning, Core
from mfbench.mfcore.cores.registry import core_from_description
from mfbench.mfcore.data.frames import set_labels
from mfbench.mfcore.errors import ConfigError
from mfbench.mfcore.fidelity import LabelSet
from mfbench.mfcore.training.budget import Budget
from mfbench.mfcore.training.checkpoint import load_tensors, save_tensors
from mfbench.mfcore.training.config import TrainingConfig
from mfbench.mfcore.training.stage import StageTask
from mfbench.mfcore.training.trainer import StageTrainer
from tests.contracts.core_cases import (
    FIDELITIES,
    SPECIES,
    CoreCase,
    argyrodite,
    ethanol,
    evaluate,
    graph,
    loss_of,
    mixed_frames,
    perturb,
)


class CoreTraining(CoreCase):
    """A stored core is the same function, and a stage changes the parameters that it may."""

    # Storage

    def test_the_same_seed_builds_the_same_weights(self, conditioning: Conditioning) -> None:
        first, second = (self.make(conditioning).state_dict() for _ in range(2))
        assert first.keys() == second.keys()
        assert all(torch.equal(first[name], second[name]) for name in first)

    def test_stored_and_read_again_it_is_the_same_function(
        self, variant: dict[str, Any], conditioning: Conditioning, tmp_path: Path
    ) -> None:
        core = perturb(self.make(conditioning, **variant))
        save_tensors(tmp_path / "core.safetensors", core.state_dict(), core.description())
        tensors, description = load_tensors(tmp_path / "core.safetensors")
        assert description.pop("format")
        assert description["core"] == self.core
        again = core_from_description(description).to(dtype=core.dtype)
        again.load_state_dict(tensors)
        assert again.description() == core.description()
        before, after = (evaluate(c, mixed_frames()) for c in (core, again))
        assert torch.equal(after.energy, before.energy)
        assert torch.equal(after.forces, before.forces)
        batch = graph(mixed_frames(), "low", core.cutoff)
        assert torch.equal(again.reference_energy(batch), core.reference_energy(batch))

    # Training

    def test_every_parameter_is_in_the_trunk_or_in_the_readout(
        self, variant: dict[str, Any], conditioning: Conditioning
    ) -> None:
        core = self.make(conditioning, **variant)
        groups = {name: list(members) for name, members in core.parameter_groups().items()}
        every = [name for name, _ in core.named_parameters()]
        assert sorted([*groups["trunk"], *groups["readout"], *groups["offsets"]]) == sorted(every)
        assert groups["trunk"]
        assert groups["readout"]
        assert set(groups["fidelity"]) <= {*groups["trunk"], *groups["readout"]}
        assert bool(groups["fidelity"]) <= (conditioning != "none")
        parts = [name for name in groups if name.startswith("trunk.")]
        assert parts == [f"trunk.{number}" for number in range(len(parts))]
        if parts:
            assert sorted(name for part in parts for name in groups[part]) == sorted(groups["trunk"])
        with pytest.raises(ConfigError, match="no parameters 'tail'"):
            core.in_groups(["tail"])

    @pytest.mark.parametrize("trainable", [None, ("readout",), ("trunk",), ("trunk", "readout")])
    def test_a_stage_changes_the_parameters_that_it_may_and_nothing_else(
        self, conditioning: Conditioning, trainable: tuple[str, ...] | None
    ) -> None:
        core = perturb(self.make(conditioning), 0.02)
        before = {name: value.clone() for name, value in core.state_dict().items()}
        self.train(core, trainable)
        after = core.state_dict()
        changed = {name for name in before if not torch.equal(before[name], after[name])}
        allowed = core.in_groups(trainable or ("trunk", "readout"))
        assert changed <= allowed
        for group in trainable or ("trunk", "readout"):
            assert changed & core.in_groups([group])

    def test_offsets_are_trained_where_they_are_meant_to_be(self) -> None:
        core = self.make()
        core.train_offsets(True)
        self.train(core, ("readout",))
        assert float(core.reference_shift.detach().abs().max()) > 0

    def test_options_that_it_lacks_are_refused_and_those_that_it_has_keep_the_numbers(
        self, conditioning: Conditioning
    ) -> None:
        core = self.make(conditioning)
        lacking = {"tf32", "activation_checkpointing"} - core.options
        for option in lacking:
            with pytest.raises(ConfigError, match=option):
                core.check_options({option: True})  # type: ignore[misc]
        if "activation_checkpointing" in lacking:
            return
        batch, parameters = graph([ethanol(), argyrodite()], "high", core.cutoff), list(core.parameters())
        parameters = [p for p in parameters if p.requires_grad]
        gradients = []
        for checkpointing in (False, True):
            output = core(batch, stress=True, create_graph=True, activation_checkpointing=checkpointing)
            loss_of(output).backward(inputs=parameters)
            gradients.append([p.grad for p in parameters])
            core.zero_grad(set_to_none=True)
        for plain, again in zip(*gradients, strict=True):
            torch.testing.assert_close(again, plain, rtol=1e-9, atol=1e-9 * float(plain.abs().max()))

    @staticmethod
    def train(core: Core, trainable: tuple[str, ...] | None) -> None:
        """Some steps of a stage on both fidelities, with labels that the network cannot have already."""
        rng, frames = np.random.default_rng(3), []
        for number in range(8):
            atoms = ethanol()
            atoms.rattle(0.05, seed=number)
            fidelity = FIDELITIES[number % 2]
            row = core.reference_of(fidelity)
            energy = sum(row[SPECIES.index(int(z))] for z in atoms.numbers) + rng.normal(2.0)
            set_labels(atoms, fidelity, energy=energy, forces=rng.normal(size=(len(atoms), 3)))
            frames.append(atoms)
        labels = {fidelity: LabelSet.parse("EF") for fidelity in FIDELITIES}
        task = StageTask("step", {"low": frames[0::2], "high": frames[1::2]}, labels, "high", (), trainable)
        config = TrainingConfig(batch_frames=4, precision="float64", ema=0.0)
        StageTrainer(core, task, config, Budget(9.0 * 16), seed=0).fit()
