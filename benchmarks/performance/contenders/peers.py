"""Cores of peers, with what their architectures have of the shape."""

from __future__ import annotations

from typing import Any

from mfbench.benchmarks.performance.contenders.base import Network
from mfbench.benchmarks.performance.contenders.cores import CoreContender


class SevenNet(CoreContender):
    """SevenNet (Park et al. 2024) with its default interaction, self-connection and messages over the mean count."""

    core_name = "sevennet"
    packages = ("mfbench", "sevenn", "e3nn")
    n_layers = 3
    channels = 16

    @classmethod
    def settings(cls, network: Network) -> dict[str, Any]:
        """See :class:`CoreContender`."""
        return super().settings(network) | {"radial_hidden": network.radial_hidden, "neighbour_power": 1.0}


class MACE(CoreContender):
    """MACE (Batatia et al. 2022): two layers and correlation 3, its usual depth and body order."""

    core_name = "mace"
    packages = ("mfbench", "mace-torch", "e3nn")
    n_layers = 2
    channels = 24  # its layers have fewer parameters per channel

    @classmethod
    def settings(cls, network: Network) -> dict[str, Any]:
        """See :class:`CoreContender`."""
        hidden_lmax = network.lmax if network.hidden_lmax is None else network.hidden_lmax
        return super().settings(network) | {"radial_hidden": network.radial_hidden, "hidden_lmax": hidden_lmax}


class NequIP(CoreContender):
    """NequIP (Batzner et al. 2022), eager, natural parities; messages over the root of the mean neighbour count."""

    core_name = "nequip"
    packages = ("mfbench", "nequip", "e3nn")
    n_layers = 3
    channels = 16

    @classmethod
    def settings(cls, network: Network) -> dict[str, Any]:
        """See :class:`CoreContender`."""
        radial = {"radial_depth": len(network.radial_hidden), "radial_width": network.radial_hidden[0]}
        return super().settings(network) | radial
