"""The table of metrics."""

import pytest

from mfbench.benchmarks.reports.metrics import metric_of, metrics, of_family, report_sections


def test_temperatures_are_filled_in():
    metric = metric_of("md_rmst_ps_300K")
    assert metric is not None
    assert (metric.name, metric.title, metric.unit, metric.better) == ("md_rmst_ps_300K", "RMST 300 K", "ps", "higher")
    assert metric.axis == "restricted mean survival time at 300 K (ps)"


@pytest.mark.parametrize("name", ["md_rmst_ps_hotK", "energy_mae_mev_per_atom_more", "xenergy_mae_mev_per_atom", ""])
def test_what_is_not_in_the_table_is_unknown(name):
    assert metric_of(name) is None


def test_a_family_comes_in_its_order_and_colder_first():
    names = ["md_rmst_ps_1000K", "md_survival_fraction_300K", "md_rmst_ps_300K", "hull_f1", "md_rmst_ps_300K"]
    found = [metric.name for metric in of_family(names, "stability")]
    assert found == ["md_survival_fraction_300K", "md_rmst_ps_300K", "md_rmst_ps_1000K"]


def test_names_and_units_agree():
    """A metric's name ends in its unit, as far as it has one."""
    words = {
        "meV/atom": "mev_per_atom",
        "meV/Å": "mev_per_A",
        "GPa": "gpa",
        "ps": "ps",
        "cm²/s": "cm2_per_s",
        "meV/atom/ps": "mev_per_atom_per_ps",
        "eV": "ev",
        "kcal/mol": "kcal_per_mol",
        "mS/cm": "ms_per_cm",
        "structures": ("n_missing", "n_failed"),
        "Å²": "a2",
        "%": "percent",
    }
    for metric in metrics():
        stem = metric.name.replace("_{T}K", "")
        assert not metric.unit or stem.endswith(words[metric.unit]), metric.name
        observed = metric.family in ("transport", "displacement") or metric.name in (
            "bulk_modulus_{member}_gpa",
            "force_slope",
            "hull_threshold_mev_per_atom",
        )
        assert bool(metric.better) != (observed and "survival" not in metric.name), metric.name


def test_compounds_are_filled_in_and_come_in_alphabetic_order():
    names = ["bulk_modulus_InN_gpa", "bulk_modulus_mae_gpa", "bulk_modulus_GaN_gpa", "mixing_n_failed"]
    found = of_family(names, "mixing")
    assert [metric.title for metric in found] == ["lost", "B MAE", "B(GaN)", "B(InN)"]
    assert [metric.better for metric in found] == ["lower", "lower", "", ""]


def test_displacements_are_known_and_in_no_table():
    metric = metric_of("cl_msd_a2_600K")
    assert metric is not None
    assert (metric.unit, metric.family) == ("Å²", "displacement")
    assert metric.family not in {section.family for section in report_sections()}


def test_the_target_s_scores_are_known():
    """Each stored metric stands in a table or is known to stand in none."""
    from mfbench.benchmarks.observables.errors import scores as evaluate

    assert metric_of("energy_mae_mev_per_atom").unit == evaluate.MEV_PER_ATOM
    assert metric_of("force_mae_mev_per_A").unit == evaluate.MEV_PER_A


def test_thresholds_of_stability_are_filled_in_and_ordered():
    names = ["hull_f1_25mev_per_atom", "hull_f1", "hull_f1_7.5mev_per_atom", "hull_daf_25mev_per_atom"]
    assert [metric.title for metric in of_family(names, "hull")] == ["F1", "F1 7.5 meV", "F1 25 meV"]
    assert metric_of("hull_daf_25mev_per_atom").label == "discovery acceleration factor within 25 meV/atom"
