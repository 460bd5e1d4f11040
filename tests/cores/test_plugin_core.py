"""The contract of cores, asked of one of another package, which has none but the abilities that it must have."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any, ClassVar

import pytest

from mfbench.mfcore.core import Core
from mfbench.mfcore.cores import registry
from tests.contracts.core import CoreContract

PLUGIN = Path(__file__).parents[1] / "harness" / "plugin"


class TestPluginCore(CoreContract):
    core = "fake_pair"
    variants: ClassVar[tuple[dict[str, Any], ...]] = ({"n_radial": 3, "hidden": 5},)

    @classmethod
    def core_type(cls) -> type[Core]:
        """Its class, read before it is installed: tests are collected then."""
        spec = spec_from_file_location("mfbench_fake_core", PLUGIN / "mfbench_fake_core.py")
        module = sys.modules.setdefault(spec.name, module_from_spec(spec))
        if not hasattr(module, "PairCore"):
            spec.loader.exec_module(module)
        return module.PairCore

    @pytest.fixture(autouse=True)
    def _installed(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
        monkeypatch.syspath_prepend(PLUGIN)
        registry._points.cache_clear()
        yield
        registry._points.cache_clear()
