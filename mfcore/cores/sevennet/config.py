"""Settings of SevenNet."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from mfbench.mfcore.core import CoreConfig

Width = Annotated[int, Field(ge=1, le=8192)]


class SevenNetConfig(CoreConfig):
    """Shape of the network; defaults are as near to those of the default core as they have the same meaning."""

    n_layers: int = Field(3, ge=1, le=8, description="Message-passing layers.")
    lmax: int = Field(2, ge=0, le=4, description="Highest degree of spherical harmonics and features.")
    channels: Width = Field(32, description="Channels of every degree.")
    parity: bool = Field(False, description="Carry features of both parities.")
    n_bessel: int = Field(8, ge=1, le=1024, description="Bessel functions of the radial basis.")
    radial_hidden: tuple[Width, ...] = Field((64, 64), max_length=8, description="Hidden widths of the radial network.")
    envelope_power: int = Field(6, ge=2, le=100, description="Power of the polynomial cutoff envelope.")
    self_connection: Literal["nequip", "linear"] = Field(
        "nequip", description="Self-connection: one matrix per species, or one for all."
    )
    neighbour_power: float = Field(
        0.5,
        ge=0,
        le=1,
        description="Power of the mean number of neighbours that messages are divided by: 1 is sevenn's "
        "`avg_num_neigh`, 0.5 its `sqrt_avg_num_neigh`.",
    )
    # what a checkpoint brings; then the settings above do not count
    architecture: dict[str, Any] | None = Field(
        None, description="Keys of sevenn's model and its `elements`, in place of the settings above; of a checkpoint."
    )
