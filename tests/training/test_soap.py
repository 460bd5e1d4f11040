"""SOAP: Adam where it has no bases, indifferent to the basis of matrices, and the same alone, in stacks and resumed."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from mfbench.mfcore.training import soap as module
from mfbench.mfcore.training.config import TrainingConfig
from mfbench.mfcore.training.optimizers import optimizer_of
from mfbench.mfcore.training.soap import EVERY, LARGEST_SIDE, SOAP

RATE = 0.02


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def moved(
    make: Callable[[list[nn.Parameter]], torch.optim.Optimizer],
    loss: Callable[[list[Tensor]], Tensor],
    start: list[Tensor],
    steps: int = 5 * EVERY,
) -> list[Tensor]:
    """Parameters after so many steps."""
    parameters = [nn.Parameter(value.clone()) for value in start]
    optimizer = make(parameters)
    for _ in range(steps):
        optimizer.zero_grad()
        loss(list(parameters)).backward()
        optimizer.step()
    return [p.detach() for p in parameters]


def soap(parameters: list[nn.Parameter]) -> SOAP:
    return SOAP(parameters, lr=RATE)


def valley(w: Tensor) -> Tensor:
    """A loss whose curvatures differ, in directions that are no coordinates, and that is no quadratic."""
    left, right = (torch.linalg.qr(random(n, n, seed=n))[0] for n in w.shape)
    scale = torch.logspace(-0.5, 0.5, w.numel(), dtype=w.dtype).reshape(w.shape)
    return ((left @ w @ right).square() * scale).sum() + 0.1 * w.sin().sum()


@pytest.mark.parametrize("shape", [(7,), (), (1, 1), (LARGEST_SIDE + 1, 1)], ids=str)
def test_what_has_no_bases_moves_as_in_adam(shape: tuple[int, ...]) -> None:
    def loss(p: list[Tensor]) -> Tensor:
        return (p[0] ** 4).sum() + p[0].sin().sum()

    def adam(p: list[nn.Parameter]) -> torch.optim.Optimizer:
        return torch.optim.Adam(p, lr=RATE, betas=(0.95, 0.95))

    start = [random(*shape)]
    torch.testing.assert_close(moved(soap, loss, start), moved(adam, loss, start), rtol=1e-9, atol=1e-12)


@pytest.fixture
def no_preferred_coordinates(monkeypatch: pytest.MonkeyPatch) -> None:
    """Coordinates choose between directions without a gradient; these matrices have none."""
    monkeypatch.setattr(module, "AT_FIRST", 0.0)


@pytest.mark.usefixtures("no_preferred_coordinates")
def test_the_path_does_not_depend_on_the_basis_that_a_matrix_is_written_in() -> None:
    left, right = torch.linalg.qr(random(4, 4, seed=1))[0], torch.linalg.qr(random(4, 4, seed=2))[0]
    start = random(4, 4)
    (plain,) = moved(soap, lambda p: valley(p[0]), [start])
    (turned,) = moved(soap, lambda p: valley(left.T @ p[0] @ right), [left @ start @ right.T])
    torch.testing.assert_close(turned, left @ plain @ right.T, rtol=1e-6, atol=1e-8)
    assert not torch.allclose(plain, start)


def test_adam_does_depend_on_it() -> None:
    """Else the test above would say nothing."""
    left, start = torch.linalg.qr(random(5, 5, seed=1))[0], random(5, 3)
    (plain,) = moved(torch.optim.Adam, lambda p: valley(p[0]), [start])
    (turned,) = moved(torch.optim.Adam, lambda p: valley(left.T @ p[0]), [left @ start])
    assert not torch.allclose(turned, left @ plain, atol=1e-2)


def test_parameters_of_one_shape_move_as_each_does_alone() -> None:
    start = [random(4, 3, seed=n) for n in range(3)] + [random(3, 4), random(2, 4, 3)]
    weights = (1.0, 3.0, 0.2, 1.0, 1.0)

    def loss(p: list[Tensor]) -> Tensor:
        matrices = [*p[:4], *p[4].unbind()]
        return sum((w * valley(m) for w, m in zip((*weights, 2.0), matrices, strict=True)), torch.zeros(()))

    together = moved(soap, loss, start)
    for place, one in enumerate(start[:4]):
        (alone,) = moved(soap, lambda p, place=place: weights[place] * valley(p[0]), [one])
        torch.testing.assert_close(together[place], alone, rtol=1e-9, atol=1e-11)
    pair = moved(soap, lambda p: valley(p[0]) + 2.0 * valley(p[1]), list(start[4].unbind()))
    torch.testing.assert_close(together[4], torch.stack(pair), rtol=1e-9, atol=1e-11)


@pytest.mark.usefixtures("no_preferred_coordinates")
def test_the_first_gradient_sets_the_bases_and_the_second_moves_all_elements_in_them_by_the_rate() -> None:
    first, second = random(4, 4, seed=1), random(4, 4, seed=2)
    parameter = nn.Parameter(random(4, 4))
    optimizer = soap([parameter])
    for gradient in (first, second):
        assert torch.equal(parameter.detach(), random(4, 4))
        parameter.grad = gradient
        optimizer.step()
    left, _, right = torch.linalg.svd(first)
    change = -RATE * left @ (left.T @ second @ right.T).sign() @ right
    torch.testing.assert_close(parameter.detach() - random(4, 4), change, rtol=1e-5, atol=1e-7)


def test_weight_decay_is_decoupled() -> None:
    start = random(4, 4)
    (plain,) = moved(soap, lambda p: valley(p[0]), [start], steps=2)
    (decayed,) = moved(lambda p: SOAP(p, lr=RATE, weight_decay=0.5), lambda p: valley(p[0]), [start], steps=2)
    torch.testing.assert_close(decayed, plain - RATE * 0.5 * start, rtol=1e-9, atol=1e-12)


def test_a_state_that_was_put_back_goes_on_as_if_nothing_had_been() -> None:
    start = [random(4, 3), random(4, 3, seed=1), random(5)]

    def loss(p: list[Tensor]) -> Tensor:
        return valley(p[0]) + valley(p[1]) * 2.0 + (p[2] ** 4).sum()

    whole = moved(soap, loss, start, steps=3 * EVERY)
    parameters = [nn.Parameter(value.clone()) for value in start]
    optimizer = soap(parameters)
    for step in range(3 * EVERY):
        if step == EVERY + 1:
            stored = copy.deepcopy(optimizer.state_dict())
            parameters = [nn.Parameter(p.detach().clone()) for p in parameters]
            optimizer = soap(parameters)
            optimizer.load_state_dict(stored)
        optimizer.zero_grad()
        loss(list(parameters)).backward()
        optimizer.step()
    torch.testing.assert_close([p.detach() for p in parameters], whole, rtol=0.0, atol=0.0)


def test_parameters_without_a_gradient_wait_and_others_go_on() -> None:
    """A head of another fidelity has none in a batch without its frames; its steps are its own."""
    first, second = nn.Parameter(random(4, 3)), nn.Parameter(random(4, 3))
    optimizer = soap([first, second])
    for step in range(12):
        optimizer.zero_grad()
        loss = valley(first)
        if step % 2:
            loss = loss + valley(second)
        loss.backward()
        optimizer.step()
    (twelve,) = moved(soap, lambda p: valley(p[0]), [random(4, 3)], steps=12)
    (six,) = moved(soap, lambda p: valley(p[0]), [random(4, 3)], steps=6)
    torch.testing.assert_close([first.detach(), second.detach()], [twelve, six], rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("value", [0.0, float("nan")])
def test_a_gradient_of_zero_moves_nothing_and_one_that_is_no_number_is_seen_in_the_weights(value: float) -> None:
    (found,) = moved(soap, lambda p: (p[0] * value).sum(), [random(3, 3)], steps=2 * EVERY)
    torch.testing.assert_close(
        found, random(3, 3) if value == 0.0 else torch.full((3, 3), value).double(), equal_nan=True
    )


def test_a_narrow_valley_is_walked_down_faster_than_by_adam() -> None:
    left, right = torch.linalg.qr(random(12, 12, seed=1))[0], torch.linalg.qr(random(12, 12, seed=2))[0]
    scale = torch.logspace(-2, 0, 12, dtype=torch.float64)

    def loss(p: list[Tensor]) -> Tensor:
        return (scale[:, None] * (left @ p[0] @ right)).square().sum()

    start = [random(12, 12)]
    ends = {
        kind: loss(moved(make, loss, start, 300))
        for kind, make in (("soap", soap), ("adam", lambda p: torch.optim.Adam(p, lr=RATE)))
    }
    assert ends["soap"] < 0.1 * ends["adam"]


@pytest.mark.parametrize("name", ["soap", "adamw", "adam"])
def test_settings_name_the_optimiser(name: str) -> None:
    groups = [{"params": [nn.Parameter(random(2, 2).float())], "weight_decay": 0.25, "share": 0.5}]
    made = optimizer_of(TrainingConfig.model_validate({"optimizer": name, "learning_rate": 0.3}), groups)
    assert type(made).__name__.lower() == name
    assert (made.param_groups[0]["lr"], made.param_groups[0]["weight_decay"]) == (0.3, 0.25)
    if name != "soap":
        assert made.param_groups[0]["amsgrad"]
