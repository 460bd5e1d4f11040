"""Settings of training; every arm of a comparison gets the same unless a tuned file says otherwise."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from mfbench.mfcore.settings_model import SettingsModel

LossKind = Literal["huber", "mse", "mae"]

SelectionRule = Literal["detrended", "low_forces", "loss", "second_half", "last", "average"]
"""Rules by which the weights that a stage with validation frames keeps are chosen, among its start and its checks.

"detrended"
    The last whose loss on them, without the composition-linear part of energies, is within one standard error of the
    lowest (:func:`mfbench.mfcore.training.selection.is_as_good`).
"low_forces"
    The same; frames without HF forces have those of the next cheaper level, where the network answers for one.
"loss", "second_half"
    Those of the lowest loss; the same among the start and the second half of the budget (with patience, among all).
"last", "average"
    Those of the end; the mean over the checks of the last quarter.
"""

BATCH_ATOMS = 128
"""Atoms of an optimiser step where the settings do not say: steps per atom gradient do not depend on the frames' size.

Joint training on li6ps5cl (100 LF, 30 HF frames), 6·10⁴ atom gradients, two draws: with 64, 128, 256 atoms the forces
are wrong by 38, 41, 54 meV/Å, and trainings take 39, 19, 12 CPU-s; ingan (one draw) 41, 44, 54 meV/Å. With AdamW in
place of SOAP, 64, 128, 256 atoms: li6ps5cl 75, 91, 119, ingan 97, 106, 109 meV/Å beyond coverage; molecular_cc (1·10⁵,
energies) 209, 161, 232 meV/atom.
"""


class LossConfig(SettingsModel):
    """Weights and forms of the loss; a label that is absent is masked."""

    energy: LossKind = Field("mse", description="Form of the energy term.")
    forces: LossKind = Field("mse", description="Form of the force term.")
    stress: LossKind = Field("mse", description="Form of the stress term.")
    energy_weight: float = Field(10.0, ge=0, description="Weight of the energy per atom, per (eV/atom).")
    final_energy_weight: float | None = Field(
        None,
        gt=0,
        description="The energy's weight at a stage's end, to which it moves geometrically over the budget; weights "
        "are selected by energy_weight.",
    )
    forces_weight: float = Field(1.0, ge=0, description="Weight of the force components, per (eV/Å).")
    stress_weight: float = Field(10.0, ge=0, description="Weight of the stress components, per (eV/Å³).")
    huber_delta: float = Field(0.1, gt=0, description="Where Huber turns from square to linear, in label units.")
    fidelity_weights: dict[str, float] = Field(
        default_factory=dict, description="Weight of each fidelity's terms; 1 where not given."
    )

    @model_validator(mode="after")
    def _a_weight_to_move_from(self) -> LossConfig:
        if self.final_energy_weight is not None and self.energy_weight == 0:
            raise ValueError("final_energy_weight: an energy_weight of 0 has no way to it; give a small one")
        return self


class TrainingConfig(SettingsModel):
    """Optimiser, schedule, batches and selection."""

    loss: LossConfig = LossConfig()
    batch_atoms: int | None = Field(
        None,
        ge=1,
        description=f"Atoms per optimiser step, at most (but one frame); {BATCH_ATOMS} unless batch_edges or "
        "batch_frames is given.",
    )
    batch_edges: int | None = Field(
        None, ge=1, description="Edges per optimiser step, at most (but one frame), beside or in place of batch_atoms."
    )
    batch_frames: int | None = Field(
        None, ge=1, description="Frames per optimiser step, whatever their size, in place of batch_atoms."
    )
    optimizer: Literal["soap", "adamw", "adam"] = Field(
        "soap", description="Optimiser: soap is Adam in the eigenbases of the gradients' covariances."
    )
    amsgrad: bool = Field(True, description="AMSGrad variant of adamw and adam; soap has none.")
    learning_rate: float = Field(
        1e-2,
        gt=0,
        description="Largest learning rate of the default core; cores of other packages take three times that.",
    )
    final_learning_rate: float = Field(1e-2, ge=0, le=1, description="At the end, as a share of the largest.")
    warmup: float = Field(0.02, ge=0, lt=1, description="Share of the budget with a rising learning rate.")
    decay: Literal["cosine", "linear", "constant"] = Field("cosine", description="Learning rate after warm-up.")
    weight_decay: float = Field(0.0, ge=0, description="Decoupled for soap and adamw, L2 for adam.")
    fidelity_weight_decay: float = Field(0.0, ge=0, description="L2 weight on the fidelity rows (multi_fidelity).")
    clip_norm: float = Field(10.0, gt=0, description="Gradient norm above which it is scaled down.")
    ema: float = Field(0.99, ge=0, lt=1, description="Decay of the averaged weights; 0 switches averaging off.")
    validation_checks: int = Field(20, ge=1, description="Selection checks over the whole budget of a stage.")
    patience: int | None = Field(None, ge=1, description="Checks without a better one before a stage ends.")
    selection: SelectionRule = Field(
        "detrended",
        description="Which weights are kept: detrended, the last within one standard error of the lowest validation "
        "loss, composition-linear errors of energies left out; low_forces, the same with forces of the next cheaper "
        "level where HF has none; loss, of the lowest validation loss; second_half, the same from the second half of "
        "the budget on; last; average, the mean over the last quarter.",
    )
    high_fidelity_fraction: float = Field(
        0.25,
        ge=0,
        lt=1,
        description="HF frames are repeated to make up this share of a joint training's frames.",
    )
    free_e0: Literal["auto", "always", "never"] = Field(
        "auto",
        description="Solve for reference energies along with the weights, where e0 is least_squares or residual and no "
        "isolated atom sets them; auto: in stages without forces (with forces, on H2CO, errors are larger by 40 %).",
    )
    precision: Literal["float32", "float64", "mixed"] = Field(
        "float32",
        description="Of weights and geometry; mixed is float32 with matrix products in TF32 in training steps: for "
        "CUDA, since other devices imitate them, which takes longer.",
    )
    activation_checkpointing: bool = Field(
        False,
        description="Compute a layer again on the way back instead of keeping it: with six layers 1.7 times less "
        "memory in 1.9 times the time; with three or fewer nothing is saved.",
    )
    accelerator: str = Field("auto", description="Device kind, as lightning.fabric names it.")
    devices: int = Field(1, ge=1, description="Number of devices.")
    checkpoint_s: float = Field(30.0, ge=0, description="Seconds between checkpoints for resuming.")

    @model_validator(mode="after")
    def _one_kind_of_batch(self) -> TrainingConfig:
        packed = self.batch_atoms is not None or self.batch_edges is not None
        if packed and self.batch_frames is not None:
            raise ValueError("batch_frames: give it, or batch_atoms and batch_edges, but not both")
        return self

    @property
    def atoms_per_batch(self) -> int | None:
        """Atoms per optimiser step; None if batches are made by edges alone, or of so many frames."""
        chosen = (self.batch_atoms, self.batch_edges, self.batch_frames)
        return BATCH_ATOMS if chosen == (None, None, None) else self.batch_atoms
