"""The crystal tasks: contract, coverage gaps, what the embedded data must be, and data cards that say so."""

import re
from importlib import import_module
from typing import ClassVar

import numpy as np
import pytest

from mfbench.benchmarks.labelling.gpaw import worker
from mfbench.benchmarks.labelling.ingan.sample import N_CATIONS, TRAINED_X
from mfbench.benchmarks.labelling.li6ps5cl.sample import SMALL_DISPLACEMENT_A
from mfbench.benchmarks.labelling.verify import verify_task
from mfbench.benchmarks.tasks.base import IN_COVERAGE, OUT_OF_COVERAGE, Regime
from mfbench.benchmarks.tasks.crystals import HIGH, LOW, CrystalTask
from mfbench.benchmarks.tasks.ingan.task import InGaN
from mfbench.benchmarks.tasks.li6ps5cl.task import COLD_K, Li6PS5Cl
from mfbench.benchmarks.tasks.registry import make_task
from mfbench.mfcore.data.frames import energy_of, forces_of, has_label
from mfbench.mfcore.data.splits import group_of
from mfbench.mfcore.fidelity import Label, LabelSet
from tests.contracts.task import TaskContract

LEAST = {"li6ps5cl": (300, 130), "ingan": (250, 110)}
"""Frames with labels of PBE and of r2SCAN."""


class _Contract(TaskContract):
    """At the sizes that the tasks are made for."""

    regimes: ClassVar[tuple[Regime, ...]] = (
        Regime(n_low=80, n_high=20, labels="low=EF,high=EF", pairing="disjoint", coverage="gap"),
        Regime(n_low=80, n_high=35, labels="low=EF,high=E", pairing="paired", coverage="full"),
        Regime(n_low="all", n_high=20, labels="low=EF,high=EF", pairing="disjoint", coverage="gap"),
    )
    n_high = (5, 10, 20)


class TestInGaN(_Contract):
    @pytest.fixture(scope="class")
    @classmethod
    def task(cls):
        return InGaN()


class TestLi6PS5Cl(_Contract):
    @pytest.fixture(scope="class")
    @classmethod
    def task(cls):
        return Li6PS5Cl()


@pytest.fixture(scope="module", params=[InGaN, Li6PS5Cl], ids=lambda made: made.name)
def task(request) -> CrystalTask:
    return request.param()


# --- data ----------------------------------------------------------------------------------------------------


def test_there_are_as_many_labels_as_the_tasks_are_made_for(task):
    found = [sum(has_label(a, level, Label.ENERGY) for a in task.frames) for level in (LOW, HIGH)]
    assert all(n >= least for n, least in zip(found, LEAST[task.name], strict=True))


def test_the_tasks_are_registered(task):
    assert type(make_task(task.name)) is type(task)
    assert task.embedded


def test_pbe_everywhere_and_r2scan_on_a_part_without_stress(task):
    for atoms in task.frames:
        assert atoms.pbc.all()
        # The stress of InGaN is not the derivative of its energy (Pulay stress), so it is no label.
        assert has_label(atoms, LOW, Label.STRESS) == (task.name == "li6ps5cl")
        assert all(has_label(atoms, LOW, label) for label in (Label.ENERGY, Label.FORCES))
        assert has_label(atoms, HIGH, Label.ENERGY) == has_label(atoms, HIGH, Label.FORCES)
        assert not has_label(atoms, HIGH, Label.STRESS)


def test_levels_are_related_but_not_the_same(task):
    both = [a for a in task.frames if has_label(a, HIGH, Label.ENERGY)]
    low, high = (np.concatenate([forces_of(a, level).ravel() for a in both]) for level in (LOW, HIGH))
    assert np.corrcoef(low, high)[0, 1] > 0.98
    assert low @ high / (low @ low) == pytest.approx(1.0, abs=0.1)
    assert np.sqrt(np.mean((low - high) ** 2)) > 0.02  # eV/Å
    assert all(abs(energy_of(a, HIGH) - energy_of(a, LOW)) > 1.0 for a in both)


def test_r2scan_costs_what_pbe_costs_and_more(task):
    both = [a for a in task.frames if has_label(a, HIGH, Label.ENERGY)]
    labels = LabelSet.parse("EF")
    for atoms in both:
        assert 0 < task.label_cost([atoms], LOW, labels) < task.label_cost([atoms], HIGH, labels)


def test_cells_are_what_the_task_says():
    for atoms in InGaN().frames:
        assert len(atoms) == 16
        assert atoms.symbols.count("N") == N_CATIONS
        assert atoms.symbols.count("In") == round(N_CATIONS * atoms.info["x_In"])
    for atoms in Li6PS5Cl().frames:
        assert atoms.get_chemical_formula() == "ClLi6PS5"


def test_coverage_of_lithium_argyrodite():
    task = Li6PS5Cl()
    frame = task.frames[0].copy()
    for info, covered in (
        ({"antisite": False, "displacement_A": 0.9 * SMALL_DISPLACEMENT_A}, True),
        ({"antisite": True, "displacement_A": 0.9 * SMALL_DISPLACEMENT_A}, False),
        ({"antisite": False, "displacement_A": 1.1 * SMALL_DISPLACEMENT_A}, False),
        ({"antisite": False, "temperature_K": COLD_K}, True),
        ({"antisite": True, "temperature_K": COLD_K}, False),
        ({"antisite": False, "temperature_K": COLD_K + 150}, False),
    ):
        frame.info = info
        assert task.covered(frame) == covered


def test_coverage_of_the_nitride():
    task = InGaN()
    frame = task.frames[0].copy()
    for n_indium in range(N_CATIONS + 1):
        frame.info = {"x_In": n_indium / N_CATIONS}
        assert task.covered(frame) == (n_indium / N_CATIONS in TRAINED_X)


def test_verification_passes(task):
    assert [check for check in verify_task(task) if check.ok is False] == []


def test_tests_are_on_their_side_of_the_gap_and_large_enough(task):
    split = task.split(task.default_regime, 0)
    assert all(task.covered(a) for a in split.tests[IN_COVERAGE])
    assert not any(task.covered(a) for a in split.tests[OUT_OF_COVERAGE])
    assert all(task.covered(a) for a in (*split.training.train[HIGH], *split.training.validation))
    assert any(not task.covered(a) for a in split.training.train[LOW])
    assert any(not task.covered(a) for a in split.ceiling.train[HIGH])
    for name, least in zip((IN_COVERAGE, OUT_OF_COVERAGE), task.n_test, strict=True):
        assert len(split.tests[name]) >= least
    assert len(split.training.validation) >= task.n_validation


def test_special_frames_are_in_no_split():
    task = InGaN()
    special = {kind: [a for a in task.frames if a.info.get("kind") == kind] for kind in ("ordering", "eos")}
    pools = task.pools(0)
    used = {a.info["structure_id"] for a in (*pools.training, *pools.validation)}
    used |= {a.info["structure_id"] for frames in pools.tests.values() for a in frames}
    for frames in special.values():
        assert frames
        assert all(has_label(a, HIGH, Label.ENERGY) for a in frames)
        assert not used & {a.info["structure_id"] for a in frames}
    assert {float(a.info["x_In"]) for a in special["ordering"]} == {n / N_CATIONS for n in range(N_CATIONS + 1)}
    for member in ("GaN", "InN"):
        assert len({round(a.get_volume(), 3) for a in special["eos"] if a.info["member"] == member}) >= 5


def test_both_rounds_are_there(task):
    kinds = {str(a.info.get("kind", "rattle")) for a in task.frames}
    assert kinds >= {"rattle", "md"}
    snapshots = [a for a in task.frames if a.info.get("kind") in ("explore", "md")]
    trajectories: dict[str, set[str]] = {}
    for atoms in snapshots:
        trajectories.setdefault(str(atoms.info["trajectory"]), set()).add(group_of(atoms))
    assert all(len(groups) == 1 for groups in trajectories.values())


def test_cells_to_see_transport_in():
    cells = Li6PS5Cl().transport_frames()
    assert len(cells) >= 1
    for atoms in cells:
        assert len(atoms) >= 52
        assert atoms.symbols.formula.reduce()[0].count() == {"Li": 6, "P": 1, "S": 5, "Cl": 1}
        assert not any(has_label(atoms, level, Label.ENERGY) for level in (LOW, HIGH))


# --- data cards ---------------------------------------------------------------------------------------------


def test_the_settings_on_the_card_are_those_of_the_labels(task):
    card, text = task.card, " ".join((task.folder / "README.md").read_text(encoding="utf-8").split())
    settings = card["settings"]
    generator = import_module(task.generator).CRYSTAL
    assert settings == {**worker.SETTINGS, **generator.settings}  # labels of one set have one level of theory
    if settings["grid_spacing_A"] is not None:
        assert f"real-space grid of {settings['grid_spacing_A']} Å" in text
    assert f"plane waves up to {settings['plane_waves_eV']:.0f} eV" in text
    assert f"{'×'.join(map(str, settings['k_points']))} k-points" in text
    assert f"Fermi-Dirac smearing of {settings['smearing_eV']} eV" in text
    assert f"{settings['density_electrons_per_electron']:.0e}".replace("e-0", "e-") in text
    for program in card["programs"]:
        assert f"GPAW {program['gpaw']}, {program['setups']}" in text
        assert f"ASE {program['ase']}" in text
    assert card["licence"] in text


def test_the_card_names_every_key_of_the_frames(task):
    text = (task.folder / "README.md").read_text(encoding="utf-8")
    keys = {key for atoms in task.frames for key in atoms.info}
    keys -= {f"{level}_{label}" for level in (LOW, HIGH) for label in ("energy", "stress")}
    assert [key for key in sorted(keys) if f"`{key}`" not in text] == []


def test_the_card_repeats_no_number_that_changes_with_the_data(task):
    text = (task.folder / "README.md").read_text(encoding="utf-8")
    assert "`dataset.yml`" in text
    assert re.findall(r"\d+ (?:frames|labels|energies)\b", text) == []
