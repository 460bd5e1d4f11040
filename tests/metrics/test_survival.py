"""Survival: curves and means that can be worked out by hand, and simulated ones with known answers."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("lifelines", reason="lifelines is not installed")

from mfbench.mfcore.metrics.survival import Lifetime, Survival, restricted_means, survival


def failures(*times: float) -> list[Lifetime]:
    return [Lifetime(t, "failure", group=str(k), mode="close_pair") for k, t in enumerate(times)]


def censored(limit: float, count: int) -> list[Lifetime]:
    return [Lifetime(limit, "survived", group=f"s{k}") for k in range(count)]


def test_a_curve_and_its_area_by_hand() -> None:
    # two of four fail, at 1 and 2 ps: S = 1, 3/4, 1/2; area up to 4: 1 + 3/4 + 2 * 1/2
    found = survival([*failures(1.0, 2.0), *censored(4.0, 2)], 4.0)
    assert found.rmst_ps == pytest.approx(2.75)
    at = dict(zip(found.time_ps.tolist(), found.survival.tolist(), strict=True))
    assert [at[t] for t in (0.0, 1.0, 2.0, 4.0)] == pytest.approx([1.0, 0.75, 0.5, 0.5])
    assert (found.n, found.n_failed, found.n_survived, found.n_errors) == (4, 2, 2, 0)
    assert found.modes == {"close_pair": 2}
    assert found.rmst_low_ps < 2.75 < found.rmst_high_ps <= 4.0


def test_errors_are_counted_and_neither_failures_nor_survivors() -> None:
    # the wall clock stops a slow model early: that must not make it look unstable, nor stable
    own = [*failures(1.0, 2.0), *censored(4.0, 2)]
    stopped = [Lifetime(0.1, "error", group="x", mode="wall_clock")] * 5
    plain, mixed = survival(own, 4.0), survival([*own, *stopped], 4.0)
    assert mixed.n_errors == 5
    assert (mixed.n, mixed.rmst_ps, mixed.rmst_low_ps) == (plain.n, plain.rmst_ps, plain.rmst_low_ps)
    with pytest.raises(ValueError, match="no replica failed or survived"):
        survival(stopped, 4.0)


def test_a_survivor_that_was_cut_off_is_refused() -> None:
    with pytest.raises(ValueError, match="before the limit"):
        survival([Lifetime(1.0, "survived")], 4.0)
    with pytest.raises(ValueError, match="not finite"):
        survival([Lifetime(float("nan"), "failure")], 4.0)


def test_where_nothing_fails_there_is_no_interval() -> None:
    found = survival(censored(3.0, 6), 3.0)
    assert found.rmst_ps == pytest.approx(3.0)
    assert np.isnan([found.rmst_low_ps, found.rmst_high_ps]).all()
    assert np.isnan(found.low).all()


def test_failures_at_once_and_after_the_limit() -> None:
    assert survival(failures(0.0, 0.0), 2.0).rmst_ps == 0.0
    late = survival(failures(1.0, 5.0), 2.0)  # the second is censored at the limit
    assert (late.n_failed, late.n_survived) == (1, 1)
    assert late.rmst_ps == pytest.approx(1.5)


def test_exponential_lifetimes_have_the_mean_that_they_should() -> None:
    # hazard 1/τ, limit L: restricted mean τ (1 - exp(-L/τ))
    rng, tau, limit = np.random.default_rng(4), 2.0, 3.0
    times = rng.exponential(tau, 1000)
    own = [Lifetime(min(t, limit), "failure" if t < limit else "survived", group=str(k)) for k, t in enumerate(times)]
    found = survival(own, limit, n_resamples=20)
    expected = tau * (1 - np.exp(-limit / tau))
    assert found.rmst_ps == pytest.approx(expected, abs=0.1)  # 2.9 standard errors


def test_fast_areas_equal_those_of_lifelines() -> None:
    rng = np.random.default_rng(8)
    times = np.round(rng.exponential(2.0, 30), 1).clip(0, 3.0)  # with ties
    own = [Lifetime(t, "failure" if t < 3.0 else "survived", group=str(k)) for k, t in enumerate(times)]
    area = restricted_means(times, times < 3.0, np.ones((1, 30)), 3.0)
    assert area[0] == pytest.approx(survival(own, 3.0, n_resamples=2).rmst_ps, abs=1e-12)
    weights = rng.integers(0, 3, (1, 30)).astype(float)
    repeated = [x for x, w in zip(own, weights[0], strict=True) for _ in range(int(w))]
    area = restricted_means(times, times < 3.0, weights, 3.0)
    assert area[0] == pytest.approx(survival(repeated, 3.0, n_resamples=2).rmst_ps, abs=1e-12)


def spread(group_effect: bool) -> Survival:
    """Eight starts, six replicas each; lifetimes depend on the start, or on nothing."""
    rng, own = np.random.default_rng(3), []
    for group in range(8):
        scale = np.exp(rng.normal()) if group_effect else 1.0
        own += [
            Lifetime(min(t, 5.0), "failure" if t < 5 else "survived", str(group)) for t in rng.exponential(scale, 6)
        ]
    return survival(own, 5.0, n_resamples=500)


def test_replicas_of_one_start_do_not_count_as_independent() -> None:
    together, alone = spread(group_effect=True), spread(group_effect=False)
    assert (together.n, together.n_groups) == (48, 8)
    assert together.rmst_high_ps - together.rmst_low_ps > 1.5 * (alone.rmst_high_ps - alone.rmst_low_ps)


def test_the_bootstrap_repeats_with_its_seed() -> None:
    own = [*failures(0.5, 1.0, 2.5), *censored(4.0, 2)]
    first, again, other = (survival(own, 4.0, seed=s) for s in (1, 1, 2))
    assert (first.rmst_low_ps, first.rmst_high_ps) == (again.rmst_low_ps, again.rmst_high_ps)
    assert first.rmst_ps == other.rmst_ps
