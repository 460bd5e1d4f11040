"""The contract of cores, asked of one of another package, which has none but the abilities that it must have."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any, ClassVar

import pytest

import mfbench
from mfbench.mfcore.core import Core
from mfbench.mfcore.cores import registry
from mfbench.mfcore.errors import ConfigError
from mfbench.mfcore.training.budget import Budget
from mfbench.strategies.registry import make_arm
from tests.conftest import tiny_settings
from tests.contracts.core import CoreContract
from tests.harness.conftest import fakes

__all__ = ["fakes"]

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


@pytest.mark.usefixtures("fakes")
def test_a_potential_knows_the_package_of_its_core(training_set, tmp_path: Path, monkeypatch) -> None:
    settings = tiny_settings()
    own = make_arm("single_fidelity", settings | {"core": {"name": "fake_pair"}}).fit(training_set, Budget(50), 1)
    assert own.record["packages"] == {"fake_pair": "mfbench-fakes 1.0"}
    own.save(tmp_path / "model")
    assert mfbench.load(tmp_path / "model").record["packages"] == own.record["packages"]
    assert registry.package_of_core("equivariant") == registry.package_of_core("perceptron") == ""
    known = {name: point for name, point in registry._points().items() if name != "fake_pair"}
    monkeypatch.setattr(registry, "_points", lambda: known)
    with pytest.raises(ConfigError, match=r"install the package that brought it, mfbench-fakes 1\.0"):
        mfbench.load(tmp_path / "model")
