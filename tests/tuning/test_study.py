"""The search, on a fake arm whose validation loss is known: energy_weight x shift²."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ase import Atoms

from mfbench.benchmarks.harness.plan import RunSpec
from mfbench.benchmarks.harness.prepare import split_of
from mfbench.benchmarks.observables.errors.observable import Errors
from mfbench.benchmarks.tasks.base import Regime
from mfbench.benchmarks.tuning.halving import promoted, rungs_of, spending
from mfbench.benchmarks.tuning.space import Space
from mfbench.benchmarks.tuning.study import Search, Searched, best_of, search, searches
from mfbench.benchmarks.tuning.trial import TrialStore, validation_loss
from mfbench.mfcore.data.frames import energy_of, forces_of, set_labels
from mfbench.mfcore.errors import ConfigError, DataError, TrainingError
from mfbench.mfcore.fidelity import LabelSet
from mfbench.mfcore.training.config import LossConfig
from tests.harness.conftest import spec

pytest.importorskip("optuna", reason="Optuna is not installed (extra 'tune')")

SPACE = Space.model_validate({"all": {"shift": {"low": -1.0, "high": 1.0}}, "source": "mine.yml"})


def planned(
    root: Path, arms: tuple[str, ...] = ("fake_mean",), trials: int = 4, share: float = 1.0, **changes: object
) -> list[Search]:
    specs = [spec(arm, **changes) for arm in arms]
    return searches(specs, SPACE, trials=trials, sampler_seed=3, budget_share=share, root=root)


def done(job: Search) -> Searched:
    found = search(job, lambda _: None)
    assert found.fault is None, found.fault
    return found


def test_trials_are_judged_by_the_loss_on_validation_frames(fakes: Path, tmp_path: Path) -> None:
    (job,) = planned(tmp_path, settings={"shift": 0.5})
    found = done(job)
    assert found.first_is_present
    assert found.records[0]["values"] == {"shift": 0.5}
    for record in found.records:
        assert record["loss"] == pytest.approx(10.0 * record["values"]["shift"] ** 2, abs=1e-9)
        assert record["scores"]["energy_mae_mev_per_atom"] == pytest.approx(1e3 * abs(record["values"]["shift"]))
        assert record["atom_gradients"] == record["budget_atom_gradients"] == 1000.0
    best = best_of(found)
    shifts = [record["values"]["shift"] for record in found.records]
    assert best.settings == {"shift": min(shifts, key=abs)}
    assert (best.trials, best.failed, best.atom_gradients) == (4, 0, 4000.0)
    assert best.first_validation_loss == pytest.approx(2.5)


def test_the_search_learns(fakes: Path, tmp_path: Path) -> None:
    (job,) = planned(tmp_path, trials=30, settings={"shift": 0.9})
    shifts = [abs(record["values"]["shift"]) for record in done(job).records]
    assert np.mean(shifts[-15:]) < 0.4  # 0.5 if it drew them evenly
    assert best_of(done(job)).validation_loss < 0.1 * best_of(done(job)).losses[0]


def test_no_test_frame_is_looked_at(fakes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import mfbench_fakes

    seen: set[str] = set()
    predict = mfbench_fakes.MeanPotential.predict

    def noting(self, frames, *args, **kwargs):
        seen.update(a.info["structure_id"] for a in frames)
        return predict(self, frames, *args, **kwargs)

    def forbidden(*args: object) -> None:
        raise AssertionError("tests were scored")

    monkeypatch.setattr(mfbench_fakes.MeanPotential, "predict", noting)
    monkeypatch.setattr(Errors, "measure", forbidden)
    (job,) = planned(tmp_path)
    done(job)
    assert seen == {a.info["structure_id"] for a in split_of(job.spec).training.validation}


def test_ended_trials_are_never_repeated_and_more_go_on_from_fewer(fakes: Path, tmp_path: Path) -> None:
    quick = {"pause_s": 0.0, "steps": 2}
    (job,) = planned(tmp_path, ("fake_steps",), trials=3, settings=quick)
    first = done(job)
    steps = len(fakes.read_text().split())
    assert steps == 3 * 2
    assert [r["loss"] for r in done(job).records] == [r["loss"] for r in first.records]
    assert len(fakes.read_text().split()) == steps
    (longer,) = planned(tmp_path, ("fake_steps",), trials=8, settings=quick)
    more = done(longer)
    assert [r["values"] for r in more.records[:3]] == [r["values"] for r in first.records]
    assert len(fakes.read_text().split()) == 8 * 2
    (fresh,) = planned(tmp_path / "elsewhere", ("fake_steps",), trials=8, settings=quick)
    assert [r["values"] for r in done(fresh).records] == [r["values"] for r in more.records]


def test_every_arm_gets_the_same_search(fakes: Path, tmp_path: Path) -> None:
    mean, steps = planned(tmp_path, ("fake_mean", "fake_steps"), settings={"pause_s": 0.0})
    assert (mean.trials, mean.sampler_seed, mean.loss) == (steps.trials, steps.sampler_seed, steps.loss)
    assert mean.rungs == steps.rungs
    assert mean.spec.budget == steps.spec.budget == 1000.0
    values = [[r["values"]["shift"] for r in done(job).records] for job in (mean, steps)]
    assert values[0] == values[1]


def test_a_failed_trial_is_a_trial(fakes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import mfbench_fakes

    fit = mfbench_fakes.FakeMean.fit

    def failing(self, *args, **kwargs):
        if self.settings.shift > 0:
            kwargs["progress"]("fit", 50.0, 1000.0)
            raise TrainingError("diverged")
        return fit(self, *args, **kwargs)

    monkeypatch.setattr(mfbench_fakes.FakeMean, "fit", failing)
    (job,) = planned(tmp_path, trials=8)
    found = done(job)
    failed = [r for r in found.records if r["status"] == "failed"]
    assert 0 < len(failed) < 8
    assert all(r["values"]["shift"] > 0 and r["reason"] == "diverged" for r in failed)
    best = best_of(found)
    assert (best.trials, best.failed) == (8, len(failed))
    assert best.atom_gradients == 50.0 * len(failed) + 1000.0 * (8 - len(failed))
    assert best.losses.count(None) == len(failed)


def test_an_arm_without_a_finished_trial_has_no_settings(fakes: Path, tmp_path: Path) -> None:
    (job,) = planned(tmp_path, ("fake_failing",), trials=2)
    with pytest.raises(TrainingError, match=r"fake_failing.*the moon was in the wrong place"):
        best_of(done(job))


def test_the_better_trials_are_trained_again_for_longer_and_the_untuned_settings_with_them(
    fakes: Path, tmp_path: Path
) -> None:
    """The untuned shift is the worst there is; it goes on all the same, and every rung costs what it was planned to."""
    (job,) = planned(tmp_path, trials=9, share=0.1, settings={"shift": 1.0})
    assert [(rung.share, rung.trials) for rung in job.rungs] == [(0.1, 9), (pytest.approx(0.3), 3), (1.0, 2)]
    found = done(job)
    by_rung = {
        s: [r for r in found.records if r["share"] == s] for s in dict.fromkeys(r["share"] for r in found.records)
    }
    assert [len(records) for records in by_rung.values()] == [9, 3, 2]
    first, second, third = by_rung.values()
    best = sorted(first[1:], key=lambda record: record["loss"])[:2]
    assert {r["trial"] for r in second} == {0, *(r["trial"] for r in best)}
    assert {r["trial"] for r in third} == {0, best[0]["trial"]}
    assert [r["budget_atom_gradients"] for r in third] == [1000.0, 1000.0]
    summed = best_of(found)
    assert (summed.trials, summed.first_validation_loss) == (9, pytest.approx(10.0))
    assert summed.settings == {"shift": best[0]["values"]["shift"]}
    assert summed.atom_gradients == pytest.approx(1000.0 * spending(job.rungs))
    assert summed.shares.count(1.0) == 2
    before = len(list((tmp_path / "trials").iterdir()))
    (longer,) = planned(tmp_path, trials=12, share=0.1, settings={"shift": 1.0})
    more = done(longer)
    assert [r["values"] for r in more.records[:9]] == [r["values"] for r in first]
    assert len(list((tmp_path / "trials").iterdir())) <= before + 3 + 4 + 2


def test_settings_that_only_start_fast_do_not_win(fakes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Positive shifts look best in short trainings, and are the worst in long ones."""
    from mfbench.benchmarks.tuning import study

    sound = study.run_trial

    def run(planned_run, *args):  # type: ignore[no-untyped-def]
        record = sound(planned_run, *args)
        short, shift = planned_run.spec.budget < 1000.0, record["values"]["shift"]
        loss = -shift if short else shift
        return record | {"loss": loss + 2.0}

    monkeypatch.setattr(study, "run_trial", run)
    (job,) = planned(tmp_path, trials=6, share=0.34, settings={"shift": 0.0})
    best = best_of(done(job))
    assert best.settings == {"shift": 0.0}  # untuned: what was promoted turned out worse
    assert best.validation_loss <= best.first_validation_loss  # type: ignore[operator]


def test_rungs_end_at_the_whole_budget_and_promote_as_many_for_every_arm() -> None:
    assert [(r.share, r.trials) for r in rungs_of(20, 1.0)] == [(1.0, 20)]
    assert [r.trials for r in rungs_of(20, 0.1)] == [20, 7, 3]
    assert [r.trials for r in rungs_of(20, 0.2)] == [20, 7]  # 0.6 would be so near the whole
    assert [r.trials for r in rungs_of(1, 0.01)] == [1] * len(rungs_of(1, 0.01))
    assert rungs_of(64, 1 / 64, 2)[-1].share == 1.0
    assert promoted({0: 5.0, 1: 1.0, 2: None, 3: 2.0}, 2, always=0) == [0, 1]
    assert promoted({0: 5.0, 1: 1.0, 2: None, 3: 2.0}, 2, always=None) == [1, 3]
    assert promoted({0: None, 1: 1.0, 2: None}, 2, always=0) == [1]


def test_a_setting_outside_the_space_is_not_the_first_trial(fakes: Path, tmp_path: Path) -> None:
    (job,) = planned(tmp_path, trials=1, settings={"shift": 2.0})
    found = done(job)
    assert not found.first_is_present
    assert best_of(found).first_validation_loss is None


def test_a_damaged_trial_is_named(fakes: Path, tmp_path: Path) -> None:
    (job,) = planned(tmp_path, trials=1)
    done(job)
    (path,) = (tmp_path / "trials").glob("*.json")
    path.write_text("{")
    assert "DataError" in (search(job, lambda _: None).fault or "")
    with pytest.raises(DataError, match="Remove it"):
        TrialStore(tmp_path).all()


def test_a_trial_that_was_killed_while_it_was_written_is_none(fakes: Path, tmp_path: Path) -> None:
    """It kept every later search from beginning."""
    (job,) = planned(tmp_path, trials=1)
    done(job)
    store = TrialStore(tmp_path)
    (path,) = (tmp_path / "trials").glob("*.json")
    half = path.with_name(f".{path.stem}.mfbench-x.json")
    half.write_bytes(path.read_bytes())
    assert [record["key"] for record in store.all()] == [path.stem]
    store.workdir(path.stem).mkdir(parents=True)
    store.sweep()
    assert not half.exists()
    assert not store.workdir(path.stem).exists()


def test_arms_with_losses_of_their_own_cannot_be_compared(tmp_path: Path) -> None:
    loss = {"training": {"loss": {"energy_weight": 3.0}}}
    regime = Regime(n_low=20, n_high=10)
    specs = [
        RunSpec("molecular_cc", regime, "transfer", 1e4, 0, 0),
        RunSpec("molecular_cc", regime, "multi_head", 1e4, 0, 0, settings=loss),
    ]
    space = Space.model_validate({"all": {"training.ema": {"low": 0.1, "high": 0.9}}})
    with pytest.raises(ConfigError, match=r"transfer and multi_head.*training\.loss"):
        searches(specs, space, trials=1, sampler_seed=0, budget_share=0.1, root=tmp_path)


class Off:
    """Off by 0.2 eV/atom, and by 0.3 eV/Å in every force component."""

    def predict(self, frames, fidelity, *, forces, stress):
        from types import SimpleNamespace

        return SimpleNamespace(
            energies=np.array([-1.0 * len(a) + 0.2 * len(a) for a in frames]),
            forces=[np.full((len(a), 3), 0.3) for a in frames] if forces else None,
            stress=None,
        )


def labelled() -> list[Atoms]:
    """Two frames with energies of −1 eV/atom, one of them with forces of zero."""
    frames = [Atoms("H2O", np.eye(3)), Atoms("H2", np.eye(3)[:2])]
    for atoms in frames:
        set_labels(atoms, "cc", energy=-1.0 * len(atoms))
    set_labels(frames[0], "cc", forces=np.zeros((3, 3)))
    assert energy_of(frames[0], "cc") == -3.0
    assert np.isnan(forces_of(frames[1], "cc")).all()
    return frames


@pytest.mark.parametrize(
    ("labels", "kind", "expected"),
    [
        ("E", "mse", 5.0 * 0.2**2),
        ("EF", "mse", 5.0 * 0.2**2 + 2.0 * 0.3**2),
        ("EF", "mae", 5.0 * 0.2 + 2.0 * 0.3),
        ("EF", "huber", 5.0 * 0.1 * (0.4 - 0.1) + 2.0 * 0.1 * (0.6 - 0.1)),
        ("F", "mse", 2.0 * 0.3**2),
    ],
)
def test_the_validation_loss_by_hand(labels: str, kind: str, expected: float) -> None:
    loss = LossConfig(energy=kind, forces=kind, energy_weight=5.0, forces_weight=2.0, fidelity_weights={"cc": 9.0})
    value, scores = validation_loss(Off(), labelled(), "cc", LabelSet.parse(labels), loss)
    assert value == pytest.approx(expected)
    wanted = {"energy_mae_mev_per_atom": 200.0, "force_mae_mev_per_A": 300.0}
    assert scores == pytest.approx({k: v for k, v in wanted.items() if k[0].upper() in labels})


def test_a_loss_that_is_no_number_is_a_failure() -> None:
    class Broken(Off):
        def predict(self, *args, **kwargs):
            out = super().predict(*args, **kwargs)
            out.energies[0] = np.nan
            return out

    with pytest.raises(TrainingError, match="nan"):
        validation_loss(Broken(), labelled(), "cc", LabelSet.parse("E"), LossConfig())
