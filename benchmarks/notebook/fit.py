"""`mfbench.fit`: one arm trained on a user's own frames, from Python."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from mfbench.benchmarks.notebook.asked import Keys, listed, options_of, settings_of
from mfbench.benchmarks.notebook.frames import Frames, FramesFolder
from mfbench.benchmarks.user.fit import FitQuestion, plan_fit
from mfbench.benchmarks.user.fitted import check_free, train, train_into, untrained, work_folder
from mfbench.benchmarks.user.networks import chosen_cores
from mfbench.benchmarks.user.telling import Telling
from mfbench.mfcore.errors import ConfigError
from mfbench.mfcore.locks import only_writer_of
from mfbench.mfcore.potentials.potential import Potential
from mfbench.mfcore.training.budget import LARGEST_BUDGET, Budget
from mfbench.mfcore.training.progress import Progress, silent


def fit(
    arm: str,
    low: Frames | None = None,
    high: Frames | None = None,
    *,
    levels: Mapping[str, Frames] | None = None,
    out: str | Path | None = None,
    budget: float | None = None,
    seed: int = 0,
    validation_fraction: float = 0.1,
    core: str | None = None,
    checkpoint: str | None = None,
    trust_checkpoint: bool = False,
    settings: Mapping[str, Any] | str | Path | None = None,
    tuned: str | Path | None = None,
    low_name: str | None = None,
    high_name: str | None = None,
    energy_key: Keys = None,
    forces_key: Keys = None,
    stress_key: Keys = None,
    group_key: str | None = None,
    block: int | None = None,
    accept_faults: bool = False,
    tell: Callable[[str], object] | None = None,
    progress: Progress = silent,
) -> Potential:
    """Train one arm on your own frames.

    The same as the command `mfbench fit`, with the same weights: `potential.calculator(fidelity="high")` is an ASE
    calculator.

    Parameters
    ----------
    arm
        Name of the arm (`mfbench list arms`).
    low, high, levels, core, checkpoint, trust_checkpoint, settings, tuned, accept_faults
        As in :func:`mfbench.compare`.
    low_name, high_name, energy_key, forces_key, stress_key, group_key, block
        How frames are read, as there.
    out
        Folder of the potential, which must not exist; a call that was cut goes on where it was. None: the potential is
        returned and not stored.
    budget
        Atom gradients. Default: 200 passes over all atoms, 1e6 to 3e7, and at least 8000 optimiser steps.
    seed
        Of weights, frame order and choice of validation groups.
    validation_fraction
        Share of the HF frames that the model is selected on, but at least 4.
    tell
        Is given each sentence on what was found and what is done, such as `print`.
    progress
        Is told each stage's name, what it spent and its budget, in atom gradients.

    Returns
    -------
    Potential
        One whose energies are no better than a constant's is returned, too: `tell` is given the sentence, and its
        record has it.

    Raises
    ------
    ConfigError
        If an argument is not possible, in the words of the command line's option, or `out` exists.
    DataError
        If frames are faulty: names file, frame and key.
    """
    if budget is not None and not 1 <= budget <= LARGEST_BUDGET:
        raise ConfigError(
            f"budget: found {budget}; expected at least 1, and at most {LARGEST_BUDGET:g} atom gradients."
        )
    telling = Telling(tell or (lambda line: None))
    with tempfile.TemporaryDirectory(prefix="mfbench-fit-") as frames:
        options, _ = options_of(
            FramesFolder(Path(frames)),
            low=low,
            high=high,
            levels=levels,
            low_name=low_name,
            high_name=high_name,
            energy_key=energy_key,
            forces_key=forces_key,
            stress_key=stress_key,
            group_key=group_key,
            block=block,
        )
        own, file = settings_of(settings)
        for entry in chosen_cores(listed(core), checkpoint, own, trust_checkpoint):
            own = entry.over(own)
        question = FitQuestion(
            arm,
            options,
            seed=seed,
            validation_fraction=validation_fraction,
            settings=own,
            settings_file=file,
            tuned=None if tuned is None else Path(tuned),
            accept_faults=accept_faults,
        )
        if out is None:
            potential, n_validation = _train(question, None, budget, telling, progress)
        else:
            with only_writer_of(Path(out)):
                check_free(Path(out))
                potential, n_validation = _train(question, Path(out), budget, telling, progress)
    if failed := untrained(potential, n_validation):
        telling.say(f"It has failed to train: {failed}")
    return potential


def _train(
    question: FitQuestion, out: Path | None, budget: float | None, telling: Telling, progress: Progress
) -> tuple[Potential, int]:
    """Train, and return the number of frames that selected the potential, too."""
    plan = plan_fit(question, telling)
    spend = Budget(budget or plan.default_budget)
    plan.say_budget(telling, spend.atom_gradients)
    n_validation = len(plan.data.validation)
    if out is None:
        return train(plan, spend, progress), n_validation
    return train_into(out, plan, spend, not work_folder(out).exists(), progress), n_validation
