"""Settings that every arm has."""

from __future__ import annotations

from pydantic import Field

from mfbench.mfcore.cores.choice import CoreChoice
from mfbench.mfcore.data.reference_energies import ReferencePolicy
from mfbench.mfcore.settings_model import SettingsModel
from mfbench.mfcore.training.config import TrainingConfig


class StrategySettings(SettingsModel):
    """Settings of all arms; an arm adds its own options to these."""

    core: CoreChoice = Field(
        default_factory=CoreChoice,
        description="The network: its name (default: equivariant) and checkpoint, and its own settings beside them.",
    )
    training: TrainingConfig = TrainingConfig()
    e0: ReferencePolicy | None = Field(
        None, description="Reference-energy policy; None takes the arm's default (protocol: least squares)."
    )
    isolated_energies: dict[str, dict[str, float]] = Field(
        default_factory=dict, description="Energies of isolated atoms by fidelity and element, eV."
    )
