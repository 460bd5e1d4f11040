"""Rule by which the weights of a run were selected: rows have its name, and tables keep rules apart."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mfbench.mfcore.training.config import TrainingConfig


def selected_by(settings: Mapping[str, Any]) -> str:
    """Name the rule of selection (:attr:`TrainingConfig.selection`) in the resolved settings of an arm."""
    default = TrainingConfig.model_fields["selection"].default
    return str(settings.get("training", {}).get("selection", default))
