"""Cores are found by name, configured by their own settings, and built from what is stored of them."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from mfbench.mfcore.core import Core
from mfbench.mfcore.cores.choice import CoreChoice
from mfbench.mfcore.cores.registry import DEFAULT, core_class, core_from_description, core_names
from mfbench.mfcore.errors import ConfigError
from mfbench.strategies.registry import make_arm
from mfbench.strategies.settings import StrategySettings


def test_every_core_is_a_class_of_its_name() -> None:
    assert core_names()[0] == DEFAULT
    for name in core_names():
        found = core_class(name)
        assert issubclass(found, Core)
        assert found.name == name
        assert found.summary
        assert "none" in found.conditionings


def test_an_unknown_core_is_an_error_that_names_those_that_there_are() -> None:
    with pytest.raises(ConfigError, match=f"core 'perceptron': unknown; the cores are {DEFAULT}"):
        core_class("perceptron")
    with pytest.raises(ConfigError, match=r"key 'core': .*'perceptron'"):
        make_arm("transfer", {"core": "perceptron"})


def test_settings_without_a_name_are_those_of_the_default_core() -> None:
    plain, named = (CoreChoice.model_validate(v) for v in ({"cutoff": 3.5}, {"name": DEFAULT, "cutoff": 3.5}))
    assert plain == named
    assert plain.cutoff == 3.5
    assert CoreChoice.model_validate(DEFAULT) == CoreChoice()


def test_a_choice_is_written_flat_and_read_again() -> None:
    settings = StrategySettings.model_validate({"core": {"channels": [8, 4], "lmax": 1}})
    written = settings.model_dump(mode="json")
    assert written["core"]["name"] == DEFAULT
    assert written["core"]["channels"] == [8, 4]
    assert StrategySettings.model_validate(written) == settings


@pytest.mark.parametrize(
    ("core", "key"), [({"chanels": 4}, "core.chanels"), ({"cutoff": -1.0}, "core.cutoff"), ({"checkpoint": 3}, "core")]
)
def test_a_wrong_key_of_a_core_is_named(core: dict[str, object], key: str) -> None:
    with pytest.raises(ConfigError, match=f"key '{key}"):
        make_arm("transfer", {"core": core})
    with pytest.raises(ValidationError):
        CoreChoice.model_validate(core)


def test_a_file_that_is_no_checkpoint_is_refused(tmp_path) -> None:  # type: ignore[no-untyped-def]
    weights = tmp_path / "weights"
    with pytest.raises(ConfigError, match="no file"):
        CoreChoice.model_validate({"checkpoint": str(weights)}).build((1, 8), ("high",), "none", 5.0)
    weights.write_bytes(b"")
    with pytest.raises(ConfigError, match="is no folder of a potential"):
        CoreChoice.model_validate({"checkpoint": str(weights)}).build((1, 8), ("high",), "none", 5.0)


def test_a_conditioning_that_a_core_lacks_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(core_class(DEFAULT), "conditionings", ("none", "heads"))
    with pytest.raises(ConfigError, match=f"core '{DEFAULT}' has no conditioning 'embedding', only none"):
        CoreChoice().build((1, 8), ("low", "high"), "embedding", 5.0)


def test_a_description_names_its_core() -> None:
    made = CoreChoice.model_validate({"channels": 4}).build((8, 1), ("low", "high"), "one_hot", 7.5)
    description = made.description()
    assert description["core"] == DEFAULT
    assert core_from_description(description).description() == description
    with pytest.raises(ConfigError, match="perceptron"):
        core_from_description(description | {"core": "perceptron"})
    for changed, key in (
        ({k: v for k, v in description.items() if k != "species"}, "species"),
        (description | {"speed": 2}, "speed"),
        (description | {"config": description["config"] | {"channels": 0.5}}, r"config\.channels"),
    ):
        with pytest.raises(ConfigError, match=f"description of a network '{DEFAULT}'.*{key}"):
            core_from_description(changed)
