"""Joint training of a fidelity-conditioned network (Kim et al., JACS 2025, arXiv 2409.07947)."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import Field

from mfbench.mfcore.core import Conditioning
from mfbench.strategies.fit_context import FitContext
from mfbench.strategies.joint import JointStrategy
from mfbench.strategies.settings import StrategySettings


class MultiFidelity(JointStrategy):
    """A one-hot of the fidelity enters the scalar channels of every self-interaction and of the readout."""

    name: ClassVar[str] = "multi_fidelity"
    summary: ClassVar[str] = "low and high fidelity jointly, one network conditioned on the fidelity"
    conditionings: ClassVar[tuple[Conditioning, ...]] = ("one_hot",)
    position: ClassVar[int] = 20
    colour: ClassVar[str] = "#D55E00"
    marker: ClassVar[str] = "s"
    line: ClassVar[str] = "-"
    conditioning: ClassVar[Conditioning] = "one_hot"


class MultiFidelityEmbedding(MultiFidelity):
    """The same with a learned vector of the fidelity in place of the one-hot."""

    name: ClassVar[str] = "multi_fidelity_embedding"
    summary: ClassVar[str] = "low and high fidelity jointly, conditioned on a learned vector of the fidelity"
    conditionings: ClassVar[tuple[Conditioning, ...]] = ("embedding",)
    usual: ClassVar[bool] = False
    position: ClassVar[int] = 22
    marker: ClassVar[str] = "D"
    line: ClassVar[str] = "--"
    conditioning: ClassVar[Conditioning] = "embedding"


class TemperatureSettings(StrategySettings):
    """Options of temperature sampling."""

    temperature: float = Field(
        2.0, ge=1, description="A fidelity of n frames has a share of batches like n^(1/T); 1: as many as there are."
    )


class MultiFidelityTempered(MultiFidelity):
    """Joint training in which HF frames are sampled by temperature (Arivazhagan et al. 2019, arXiv 1907.05019)."""

    name: ClassVar[str] = "multi_fidelity_tempered"
    summary: ClassVar[str] = "low and high fidelity jointly, HF frames repeated by temperature sampling"
    usual: ClassVar[bool] = False
    position: ClassVar[int] = 24
    marker: ClassVar[str] = "X"
    line: ClassVar[str] = ":"
    Settings: ClassVar[type[StrategySettings]] = TemperatureSettings

    def sampling(self, run: FitContext) -> dict[str, Any]:
        """Share of HF frames in an epoch by the numbers of frames."""
        assert isinstance(self.settings, TemperatureSettings)
        n_high = len(run.data.train[run.data.high])
        n_low = sum(len(run.data.train[low]) for low in run.data.low)
        high, low = (n ** (1.0 / self.settings.temperature) for n in (n_high, n_low))
        return {"high_fidelity_fraction": high / (high + low)}
