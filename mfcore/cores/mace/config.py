"""Settings of MACE."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from mfbench.mfcore.core import CoreConfig

Width = Annotated[int, Field(ge=1, le=8192)]


class MaceConfig(CoreConfig):
    """Shape of the network; depth and body order as is usual with MACE."""

    n_layers: int = Field(2, ge=1, le=8, description="Message-passing layers.")
    lmax: int = Field(2, ge=0, le=4, description="Highest degree of spherical harmonics.")
    hidden_lmax: int = Field(1, ge=0, le=4, description="Highest degree of the features between layers.")
    channels: Width = Field(32, description="Channels of every degree.")
    correlation: int = Field(3, ge=1, le=4, description="Number of neighbours whose features are multiplied.")
    n_bessel: int = Field(8, ge=1, le=1024, description="Bessel functions of the radial basis.")
    radial_hidden: tuple[Width, ...] = Field(
        (64, 64, 64), max_length=8, description="Hidden widths of the radial network."
    )
    envelope_power: int = Field(5, ge=2, le=100, description="Power of the polynomial cutoff envelope.")
    readout_hidden: Width = Field(16, description="Hidden width of the last readout.")
    # what a checkpoint brings; then the settings above do not count
    architecture: dict[str, Any] | None = Field(
        None, description="Arguments of mace's ScaleShiftMACE and its `elements`, of a checkpoint; before the settings."
    )
