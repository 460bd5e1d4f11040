"""Plan of dynamics in which an ion diffuses."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ase.data import chemical_symbols
from pydantic import Field, field_validator, model_validator

from mfbench.benchmarks.observables.dynamics import DynamicsPlan, Temperature

if TYPE_CHECKING:
    from mfbench.mfcore.dynamics.settings import DynamicsSettings

LEAST_RECORDS = 10
"""Records in a block: fewer leave too few lags for a line."""


class TransportPlan(DynamicsPlan):
    """Dynamics at several temperatures, to see an ion diffuse."""

    species: str = Field("Li", description="Element that diffuses.")
    charge: float = Field(1.0, gt=0, description="Of its ion, in elementary charges.")
    temperatures_k: tuple[Temperature, ...] = Field(
        (600.0, 800.0, 1000.0),
        min_length=1,
        description="K. Two make a line of ln D against 1/T, three or more say how straight it is.",
    )
    duration_ps: float = Field(100.0, gt=0, description="Of each replica; one that ends before is left out.")
    time_step_fs: float = Field(2.0, gt=0)
    replicas: int = Field(1, ge=1, description="Of each cell and temperature.")
    # In Kramers' theory friction γ slows the crossing of a barrier of (imaginary) frequency ω by γ/2ω; for Li, with ω
    # of the order of 20/ps, that is a few per cent at 1/ps and more than a tenth at the 5/ps of the survival runs.
    friction_per_ps: float = Field(1.0, gt=0, description="Of the Langevin thermostat; a strong one slows diffusion.")
    equilibration: float = Field(0.1, ge=0, lt=1, description="Fraction of each trajectory left out at its start.")
    blocks: int = Field(5, ge=2, description="Of each trajectory, for the error; longer than jumps are correlated.")
    record_fs: float = Field(50.0, gt=0, description="Between stored positions.")
    wall_limit_s: float = Field(1800.0, gt=0, description="Wall time after which replicas end as errors.")

    @field_validator("species")
    @classmethod
    def _element(cls, value: str) -> str:
        if value not in chemical_symbols[1:]:
            raise ValueError(f"'{value}' is no element")
        return value

    @field_validator("temperatures_k")
    @classmethod
    def _temperatures(cls, values: tuple[float, ...]) -> tuple[float, ...]:
        if min(values) <= 0 or len(set(values)) < len(values):
            raise ValueError("expected different temperatures above 0 K")
        return values

    @model_validator(mode="after")
    def _blocks_are_long_enough(self) -> TransportPlan:
        for longer, shorter in (("record_fs", "time_step_fs"), ("duration_ps", "record_fs")):
            ratio = getattr(self, longer) * (1000.0 if longer == "duration_ps" else 1.0) / getattr(self, shorter)
            if round(ratio) < 1 or abs(ratio - round(ratio)) > 1e-6 * ratio:
                raise ValueError(f"{longer}: expected a multiple of {shorter}")
        size = self.n_kept // self.blocks
        if size < LEAST_RECORDS:
            raise ValueError(
                f"blocks: one has {size} records, expected {LEAST_RECORDS} or more; run longer (duration_ps), record "
                "more often (record_fs) or take fewer blocks"
            )
        return self

    @property
    def n_kept(self) -> int:
        """Records of a trajectory after its equilibration."""
        records = round(1000.0 * self.duration_ps / self.record_fs) + 1
        return records - int(self.equilibration * records)

    @property
    def settings(self) -> DynamicsSettings:
        """How to integrate."""
        from mfbench.mfcore.dynamics.settings import DynamicsSettings

        return DynamicsSettings(
            duration_ps=self.duration_ps,
            time_step_fs=self.time_step_fs,
            friction_per_ps=self.friction_per_ps,
            record_every=round(self.record_fs / self.time_step_fs),
        )
