"""LAMMPS with a potential: ASE's numbers, a conserved energy, pressures, restarts, and refusals that end a run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ase import Atoms, units
from ase.build import bulk, molecule
from ase.io import write
from ase.io.lammpsdata import read_lammps_data

from mfbench.benchmarks.exports import lammps_library, lammps_script
from mfbench.benchmarks.exports.folder import export_model
from mfbench.benchmarks.exports.lammps import LammpsPotential, MassWarning
from mfbench.benchmarks.exports.lammps_script import commands_of, run_lammps, write_structure
from mfbench.mfcore.errors import ConfigError, DataError
from mfbench.mfcore.potentials.potential import Potential
from tests.exports.worlds import committee, network, rattled, single, total

ELEMENTS = ["O", "H", "Cu", "C"]
QUIET = ["-screen", "none", "-log", "none", "-nocite"]
BEGIN = """
units metal
atom_style atomic
atom_modify map yes
boundary {boundary}
box tilt large
read_data structure.data
pair_style zero 1.0 nocoeff
pair_coeff * *
fix mfbench all external pf/callback 1 1
thermo_style custom step pe etotal pxx pyy pzz pxy pxz pyz
"""
Run = Callable[..., Any]

needs_lammps = pytest.mark.usefixtures("lammps")


@pytest.fixture
def run(lammps: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run commands behind BEGIN on a structure; returns the open LAMMPS."""
    monkeypatch.chdir(tmp_path)

    def run(potential: Potential, atoms: Atoms, commands: str, boundary: str = "p p p", **options: Any) -> Any:
        write_structure(atoms, ELEMENTS, Path("structure.data"))
        Path("in.lammps").write_text(BEGIN.format(boundary=boundary) + commands)
        return run_lammps(potential, "in.lammps", ELEMENTS, arguments=QUIET, **options)

    return run


def seen(boundary: tuple[bool, bool, bool]) -> Atoms:
    """The structure as LAMMPS has it: turned, with its box."""
    atoms = read_lammps_data("structure.data", units="metal", atom_style="atomic")
    atoms.pbc = boundary
    return atoms


def of_atoms(lmp: Any, name: str) -> np.ndarray:
    return np.array(lmp.gather_atoms(name, 1, 3)).reshape(-1, 3)


def skewed() -> Atoms:
    atoms = rattled(bulk("Cu", cubic=True) * (2, 1, 1), 3)
    atoms.set_cell(atoms.cell @ [[1.02, 0.1, 0.0], [0.0, 0.97, 0.05], [0.04, 0.0, 1.01]], scale_atoms=True)
    return atoms


CASES = {
    "crystal": (skewed(), "p p p", (True, True, True)),
    "smaller than the cutoff": (bulk("Cu"), "p p p", (True, True, True)),
    "molecule": (rattled(molecule("CH3CH2OH")), "s s s", (False, False, False)),
    "slab": (rattled(bulk("Cu", cubic=True)), "p p f", (True, True, False)),
    "lone atom": (Atoms("O", cell=[12.0] * 3, pbc=True), "p p p", (True, True, True)),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("potential", [single(), total(), committee()], ids=["single", "sum", "committee"])
def test_energies_forces_and_pressure_are_those_of_ase(run: Run, potential: Potential, case: str) -> None:
    atoms, boundary, pbc = CASES[case]
    lmp = run(potential, atoms, "run 0\n", boundary)
    same = seen(pbc)
    same.calc = potential.calculator()
    assert lmp.get_thermo("pe") == pytest.approx(same.get_potential_energy(), abs=1e-9)
    np.testing.assert_allclose(of_atoms(lmp, "f"), same.get_forces(), rtol=0, atol=1e-9)
    if all(pbc):
        own = -same.get_stress() / units.bar  # xx yy zz yz xz xy
        found = [lmp.get_thermo(name) for name in ("pxx", "pyy", "pzz", "pyz", "pxz", "pxy")]
        np.testing.assert_allclose(found, own, rtol=1e-6, atol=1e-3)  # the two have constants of other years
    lmp.close()


def test_the_virial_of_a_molecule_is_that_of_its_forces(run: Run) -> None:
    lmp = run(single(), rattled(molecule("CH3CH2OH")), "run 0\n", "f f f")
    virial = np.einsum("ai,ai->i", of_atoms(lmp, "x"), of_atoms(lmp, "f"))
    low, high, *_ = lmp.extract_box()
    found = [lmp.get_thermo(name) * units.bar * np.prod(np.subtract(high, low)) for name in ("pxx", "pyy", "pzz")]
    np.testing.assert_allclose(found, virial, rtol=1e-5, atol=1e-6)
    lmp.close()


def soft() -> Potential:
    core = network(0, zbl=True)
    core.scale[:] = 0.05
    return Potential("multi_fidelity", [core], single().outputs)


MOVE = "velocity all create 600.0 7 loop all\ntimestep 0.001\nfix move all nve\nthermo 20\n"


def test_nve_conserves_the_energy_while_atoms_cross_the_box(run: Run) -> None:
    atoms = rattled(bulk("Cu", cubic=True))
    lmp = run(soft(), atoms, MOVE + "neighbor 0.3 bin\nneigh_modify every 1 delay 0 check yes\nrun 0\n")
    start = lmp.get_thermo("etotal")
    largest = 0.0
    for _ in range(10):
        lmp.command("run 30")
        largest = max(largest, abs(lmp.get_thermo("etotal") - start))
    assert largest < 1e-4 * len(atoms)
    assert lmp.get_thermo("ke") > 0.1
    same = seen((True, True, True))
    same.positions = of_atoms(lmp, "x")
    assert lmp.get_thermo("pe") == pytest.approx(soft().predict([same]).energies[0], abs=1e-8)
    lmp.close()


def test_boxes_may_move(run: Run) -> None:
    """Constant pressure: what the enthalpy of the extended system is made of is conserved."""
    atoms = rattled(bulk("Cu", a=3.4, cubic=True))
    move = "velocity all create 300.0 7\ntimestep 0.001\nfix move all nph aniso 1e5 1e5 0.3\nrun 0\n"
    lmp = run(soft(), atoms, move)
    lmp.command("variable whole equal econserve")
    lmp.command("thermo_style custom step pe etotal vol enthalpy econserve")
    lmp.command("run 0")
    start, volume = lmp.get_thermo("econserve"), lmp.get_thermo("vol")
    lmp.command("run 200")
    assert abs(lmp.get_thermo("econserve") - start) < 2e-3 * len(atoms)
    assert abs(lmp.get_thermo("vol") / volume - 1) > 0.01
    lmp.command("write_data after.data")
    after = read_lammps_data("after.data", units="metal", atom_style="atomic")
    assert lmp.get_thermo("pe") == pytest.approx(soft().predict([after]).energies[0], abs=1e-6)  # digits of the file
    lmp.close()


def test_a_minimisation_goes_to_the_minimum_of_ase(run: Run) -> None:
    atoms = rattled(bulk("Cu", a=3.4, cubic=True))
    lmp = run(soft(), atoms, "min_style cg\nminimize 0 1e-4 500 2000\n")
    perfect = soft().predict([bulk("Cu", a=3.4, cubic=True)]).energies[0]
    assert lmp.get_thermo("pe") == pytest.approx(perfect, abs=1e-5)
    assert soft().predict([atoms]).energies[0] > perfect + 1e-3
    lmp.close()


def test_a_restart_goes_on_as_if_nothing_had_been(run: Run) -> None:
    atoms = rattled(bulk("Cu", cubic=True))
    through = run(soft(), atoms, MOVE + "run 40\nwrite_restart half.restart\nrun 40\n")
    expected = of_atoms(through, "x"), of_atoms(through, "v")
    through.close()
    Path("again.lammps").write_text(
        "read_restart half.restart\npair_style zero 1.0 nocoeff\npair_coeff * *\n"
        "fix mfbench all external pf/callback 1 1\nfix move all nve\ntimestep 0.001\nrun 40\n"
    )
    lmp = run_lammps(soft(), "again.lammps", ELEMENTS, arguments=QUIET)
    np.testing.assert_allclose(of_atoms(lmp, "x"), expected[0], rtol=0, atol=1e-9)
    np.testing.assert_allclose(of_atoms(lmp, "v"), expected[1], rtol=0, atol=1e-8)
    lmp.close()


def test_atoms_that_meet_end_the_run_and_all_that_follows(run: Run) -> None:
    """Two oxygens fly into each other, without a repulsion that would keep them apart."""
    core = network(0)
    core.scale[:] = 0.0
    potential = Potential("multi_fidelity", [core], single().outputs)
    atoms = Atoms("O2", [[1.0, 1, 1], [3.0, 1, 1]], cell=[12.0] * 3, pbc=True)
    move = "group first id 1\nvelocity first set 200.0 0 0\ntimestep 0.0001\nfix move all nve\n"
    with pytest.raises(DataError, match="system 0: atoms 0 and 1 are at one place") as caught:
        run(potential, atoms, move + "run 1000\nwrite_data after.data\n")
    assert "at step " in caught.value.__notes__[0]
    assert not Path("after.data").exists()


def test_unknown_elements_are_refused_before_a_step(run: Run) -> None:
    atoms = Atoms("OAu", [[0, 0, 0], [3.0, 0, 0]], cell=[12.0] * 3, pbc=True)
    potential = LammpsPotential(single(), ["O", "Au"])
    write_structure(atoms, ["O", "Au"], Path("structure.data"))
    lmp = lammps_library.open_lammps(QUIET)
    lmp.commands_string(BEGIN.format(boundary="p p p"))
    potential.attach(lmp)
    lmp.command("fix move all nve")
    lmp.command("run 50")
    assert lmp.extract_global("ntimestep") <= 1
    with pytest.raises(DataError, match="element Au"):
        potential.check()
    lmp.close()


def test_a_fix_is_made_where_there_is_none(run: Run) -> None:
    atoms = skewed()
    write_structure(atoms, ELEMENTS, Path("structure.data"))
    lmp = lammps_library.open_lammps(QUIET)
    lmp.commands_string(BEGIN.format(boundary="p p p").replace("fix mfbench", "# fix mfbench"))
    LammpsPotential(single(), ELEMENTS, precision="float64").attach(lmp)
    lmp.command("run 0")
    assert lmp.get_thermo("pe") == pytest.approx(single().predict([atoms]).energies[0], abs=1e-9)
    lmp.close()


@pytest.mark.parametrize(
    ("before", "after", "problem"),
    [
        ("units metal", "units real", "expected units metal, found real"),
        ("fix mfbench all external pf/callback 1 1", "", "expected a line 'fix mfbench all external"),
        ("pair_coeff * *", "label loop", "'label' needs a script that LAMMPS reads itself"),
    ],
)
@needs_lammps
def test_scripts_that_cannot_be_run_are_refused(
    before: str, after: str, problem: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_structure(skewed(), ELEMENTS, Path("structure.data"))
    Path("in.lammps").write_text(BEGIN.format(boundary="p p p").replace(before, after))
    with pytest.raises(ConfigError, match=problem):
        run_lammps(single(), "in.lammps", ELEMENTS, arguments=QUIET)


def test_types_without_an_element_and_odd_masses_are_told(run: Run) -> None:
    write_structure(skewed(), ELEMENTS, Path("structure.data"))
    Path("in.lammps").write_text(BEGIN.format(boundary="p p p"))
    with pytest.raises(ConfigError, match="LAMMPS has 4 atom types, named are O, H"):
        run_lammps(single(), "in.lammps", ["O", "H"], arguments=QUIET)
    with pytest.warns(MassWarning, match="type 1 is said to be H"), pytest.warns(MassWarning, match="type 2"):
        run_lammps(single(), "in.lammps", ["H", "O", "Cu", "C"], arguments=QUIET).close()


@pytest.mark.parametrize("elements", [[], ["X"], ["Cu", "copper"]])
def test_elements_have_to_be_some(elements: list[str]) -> None:
    with pytest.raises(ConfigError, match="expected the symbols"):
        LammpsPotential(single(), elements)


def test_commands_of_a_script() -> None:
    text = '# words\nunits metal # more\n\nthermo_style custom step &\n   pe\nprint """\na\nb"""\nrun 0'
    assert list(commands_of(text)) == [
        "units metal # more",
        "thermo_style custom step    pe",
        'print """\na\nb"""',
        "run 0",
    ]


def test_a_structure_of_other_elements_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="element Cu is none of O, H"):
        write_structure(bulk("Cu"), ["O", "H"], tmp_path / "structure.data")
    assert not (tmp_path / "structure.data").exists()


def test_the_driver_of_an_export_runs_its_script(
    lammps: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    export_model(soft(), "lammps", Path("export"))
    write("structure.xyz", rattled(molecule("CH3CH2OH")))
    arguments = ["export/in.lammps", "structure.xyz"]
    assert lammps_script.main(Path("export"), ["H", "C", "O", "Cu"], arguments) == 0
    assert "Loop time of" in capfd.readouterr().out
    write("structure.xyz", bulk("Au"))
    assert lammps_script.main(Path("export"), ["H", "C", "O", "Cu"], arguments) == 2
    assert capfd.readouterr().err == "error: key 'species': element Au is none of H, C, O, Cu.\n"
    assert lammps_script.main(Path("export"), ["H"], []) == 2
    assert lammps_script.main(Path("export"), ["H"], ["export/in.lammps", "nothing.xyz"]) == 2
    assert "file nothing.xyz: no structure can be read" in capfd.readouterr().err


def test_where_lammps_is_missing_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lammps_library, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"mfbench\[lammps\]"):
        lammps_library.open_lammps([])


def test_single_precision_is_that_of_ase(run: Run) -> None:
    potential = single(torch.float32)
    lmp = run(potential, skewed(), "run 0\n")
    same = seen((True, True, True))
    same.calc = potential.calculator()
    np.testing.assert_allclose(of_atoms(lmp, "f"), same.get_forces(), rtol=0, atol=1e-4)
    lmp.close()
