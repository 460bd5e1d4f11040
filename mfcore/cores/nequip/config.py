"""Settings of NequIP."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from mfbench.mfcore.core import CoreConfig

Width = Annotated[int, Field(ge=1, le=8192)]


class NequIPConfig(CoreConfig):
    """Shape of the network; defaults are as near to those of the default core as they have the same meaning."""

    n_layers: int = Field(3, ge=1, le=8, description="Message-passing layers.")
    lmax: int = Field(2, ge=0, le=4, description="Highest degree of spherical harmonics and features.")
    channels: Width = Field(32, description="Channels of every degree.")
    parity: bool = Field(False, description="Carry features of both parities.")
    n_bessel: int = Field(8, ge=1, le=1024, description="Bessel functions of the radial basis.")
    radial_depth: int = Field(2, ge=1, le=8, description="Hidden layers of the radial network.")
    radial_width: Width = Field(64, description="Their width.")
    envelope_power: int = Field(6, ge=2, le=100, description="Power of the polynomial cutoff envelope.")
    fidelity_channels: Width = Field(
        8, description="Length of the learned vector of a fidelity, under conditioning 'embedding'."
    )
    # what a checkpoint brings; then the settings above do not count
    architecture: dict[str, Any] | None = Field(
        None, description="Builder of nequip, its arguments and `elements`, of a checkpoint; before the settings."
    )
