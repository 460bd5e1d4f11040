"""Settings of the equivariant core."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from mfbench.mfcore.backends.names import Backend
from mfbench.mfcore.core import CoreConfig

Width = Annotated[int, Field(ge=1, le=8192)]


class EquivariantConfig(CoreConfig):
    """Shape of the network; the same for every arm of a comparison."""

    n_layers: int = Field(3, ge=1, le=8, description="Message-passing layers.")
    lmax: int = Field(2, ge=0, le=3, description="Highest degree of spherical harmonics and features.")
    channels: Width | tuple[Width, ...] = Field(
        32, description="Channels of every degree, or one number per degree 0..lmax."
    )
    parity: bool = Field(
        False,
        description="Carry features of both parities. False keeps the natural ones, p = (-1)^l; "
        "both are equivariant under O(3).",
    )
    n_bessel: int = Field(8, ge=1, le=1024, description="Bessel functions of the radial basis.")
    radial_hidden: tuple[Width, ...] = Field((64, 64), max_length=8, description="Hidden widths of the radial network.")
    radial_mode: Literal["table", "exact"] = Field(
        "table", description="Evaluate the radial network on a spline table, or on every edge."
    )
    n_knots: int | None = Field(None, ge=8, le=10**6, description="Intervals of the spline table; None is the default.")
    envelope_power: int = Field(6, ge=2, le=100, description="Power of the polynomial cutoff envelope.")
    self_connection: Literal["linear", "species"] = Field(
        "species", description="Self-connection: one matrix for all species, or one per species."
    )
    readout_hidden: int = Field(16, ge=1, le=8192, description="Hidden width of the readout.")
    readout_scale: float = Field(
        1.0, gt=0, description="Initial size of the readout's last matrix; 1 keeps the variance of its input."
    )
    fidelity_channels: Width = Field(
        8, description="Length of the learned vector of a fidelity, under conditioning 'embedding'."
    )
    # Off: it acts up to the sum of the covalent radii, and so within multiple bonds (3.6 eV and 35 eV/Å for N2 at
    # 1.10 Å), which the network would have to unlearn; single bonds, Li-S, P-S and Ga-N are free of it.
    zbl: bool = Field(
        False,
        description="Add the Ziegler-Biersack-Littmark repulsion of the nuclei, up to the sum of covalent radii: keeps "
        "atoms apart in hot dynamics of solids; not for molecules with multiple bonds, whose lengths it reaches.",
    )
    backend: Backend = Field("auto", description="What convolves.")

    @model_validator(mode="after")
    def _one_channel_count_per_degree(self) -> EquivariantConfig:
        if not isinstance(self.channels, int) and len(self.channels) != self.lmax + 1:
            raise ValueError(f"channels: expected one number, or {self.lmax + 1} (one per degree 0..lmax)")
        return self

    def channels_of(self, degree: int) -> int:
        """Channels of the features of one degree."""
        return self.channels if isinstance(self.channels, int) else self.channels[degree]
