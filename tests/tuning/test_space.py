"""Search spaces: faults name their key; values become settings and settings values."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from mfbench.benchmarks.tuning.space import Parameter, check, load_space, nested, present
from mfbench.mfcore.errors import ConfigError
from mfbench.strategies.registry import arm_class, arm_names

FIDELITIES = ("dft", "cc")


def space_file(folder: Path, content: object) -> Path:
    path = folder / "mine.yml"
    path.write_text(yaml.safe_dump(content))
    return path


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ({"every": {}}, "every: unknown key"),
        ({"all": {"training.ema": {"low": 0, "hihg": 1}}}, "all.training.ema.hihg: unknown key"),
        ({"all": {"training.ema": {"low": 0.5}}}, "all.training.ema: .*low < high"),
        ({"all": {"training.ema": {"low": 0.5, "high": 0.1}}}, "all.training.ema: .*low < high"),
        ({"all": {"training.ema": {"low": 0, "high": 0.1, "log": True}}}, "all.training.ema: .*positive"),
        ({"all": {"training.ema": {"low": 0, "high": 0.1, "choices": [0, 1]}}}, "all.training.ema: .*either"),
        ({"arms": {"transfre": {"pretrain_share": {"low": 0.1, "high": 0.9}}}}, "arms.transfre: no such arm"),
    ],
)
def test_a_fault_names_file_and_key(tmp_path: Path, content: object, told: str) -> None:
    with pytest.raises(ConfigError, match=rf"mine\.yml: {told}"):
        load_space(space_file(tmp_path, content), arm_names())


@pytest.mark.parametrize(
    ("key", "interval", "told"),
    [
        ("training.learning_rat", (1e-3, 1e-2), "training.learning_rat"),
        ("training.high_fidelity_fraction", (0.1, 1.5), "training.high_fidelity_fraction"),
        ("pretrain_shar", (0.1, 0.9), "pretrain_shar"),
    ],
)
def test_a_key_that_an_arm_does_not_have_is_named_before_the_first_trial(
    tmp_path: Path, key: str, interval: tuple[float, float], told: str
) -> None:
    low, high = interval
    space = load_space(space_file(tmp_path, {"all": {key: {"low": low, "high": high}}}), arm_names())
    with pytest.raises(ConfigError, match=rf"mine\.yml: {told}: arm 'transfer' cannot have"):
        check(space, space.of("transfer", FIDELITIES), arm_class("transfer"), "transfer")


def test_a_fidelity_that_the_task_does_not_have_is_named(tmp_path: Path) -> None:
    key = "training.loss.fidelity_weights.mp2"
    space = load_space(space_file(tmp_path, {"all": {key: {"low": 1, "high": 2}}}), arm_names())
    with pytest.raises(ConfigError, match=r"fidelity_weights\.mp2: no such fidelity; there are dft, cc"):
        space.of("transfer", FIDELITIES)


@pytest.mark.parametrize("arm", arm_names())
def test_the_space_that_comes_along_fits_every_arm_and_holds_its_defaults(arm: str) -> None:
    space = load_space(None, arm_names())
    parameters = space.of(arm, FIDELITIES)
    check(space, parameters, arm_class(arm), arm)
    values = present(arm_class(arm)({}).settings.model_dump(mode="json"), parameters)
    assert values is not None
    assert arm_class(arm)(nested(values)).settings.training.learning_rate == 0.01


def test_roles_become_the_fidelities_of_the_task() -> None:
    parameters = load_space(None, arm_names()).of("multi_head", FIDELITIES)
    assert "training.loss.fidelity_weights.cc" in parameters
    assert present({"training": {"loss": {"fidelity_weights": {"cc": 20.0}}}}, parameters) is None


def test_dotted_keys_become_settings_and_back() -> None:
    values = {"a.b": 1.0, "a.c.d": 2.0, "e": 3.0}
    assert nested(values) == {"a": {"b": 1.0, "c": {"d": 2.0}}, "e": 3.0}
    parameters = dict.fromkeys(values, Parameter(low=0, high=5))
    assert present(nested(values), parameters) == values
    assert present(nested({**values, "e": 6.0}), parameters) is None
    assert present(nested({"e": 3.0}), parameters) is None
