"""The study of training: what it varies, that it goes on where it was cut off, and what its stored rows say."""

from __future__ import annotations

from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pytest
import typer
from ase import Atoms
from typer.testing import CliRunner

from mfbench.benchmarks.performance.contenders.base import Labelled
from mfbench.benchmarks.performance.parity.data import ParityData
from mfbench.benchmarks.performance.parity.settings import Job
from mfbench.benchmarks.performance.training import __main__ as command
from mfbench.benchmarks.performance.training import execute, peers
from mfbench.benchmarks.performance.training.report import draw, latest, table_of
from mfbench.benchmarks.performance.training.settings import PEERS, PROBLEMS, START, VARIANTS, Problem, Variant
from mfbench.mfcore.errors import ConfigError
from mfbench.strategies.registry import make_arm

STORED = Path(__file__).resolve().parents[2] / "results/performance/training.json"


def flat(settings: Any, prefix: str = "") -> dict[str, Any]:
    made: dict[str, Any] = {}
    for key, value in settings.items():
        made |= flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return made


@pytest.mark.parametrize("variant", list(VARIANTS.values()), ids=list(VARIANTS))
def test_a_variant_is_the_start_with_one_factor_changed_and_settings_that_an_arm_takes(variant: Variant) -> None:
    if variant.name != "default":
        start, found = flat(START), flat(variant.settings)
        assert start.keys() <= found.keys()
        assert len({key for key in found if start.get(key) != found[key]}) <= 2
    for problem in PROBLEMS.values():
        make_arm(problem.arm, execute.settings_of(problem, variant))


def test_rows_are_told_apart_by_all_that_decides_them() -> None:
    h2co, other = PROBLEMS["h2co"], PROBLEMS["h2co_energies"]
    start = execute.settings_of(h2co, VARIANTS["start"])
    keys = {
        execute.run_key(h2co, start, 1e5, 0),
        execute.run_key(h2co, start, 1e5, 1),
        execute.run_key(h2co, start, 2e5, 0),
        execute.run_key(other, start, 1e5, 0),
        execute.run_key(h2co, execute.settings_of(h2co, VARIANTS["ema=0"]), 1e5, 0),
    }
    assert len(keys) == 5


def row(variant: str, error: float, repeat: int = 0, date: str = "2026-01-01", status: str = "ok") -> dict[str, Any]:
    errors = dict.fromkeys(("force_mae_mev_per_A", "energy_mae_mev_per_atom"), error)
    done = {"errors": errors, "train_cpu_s": 2.0, "steps": 10} if status == "ok" else {"reason": "diverged"}
    place = {"problem": "h2co", "factor": "f", "variant": variant, "budget": 1e5, "repeat": repeat}
    return place | {"key": f"{variant}{repeat}{date}", "date": date, "status": status} | done


def test_a_study_goes_on_where_it_was_cut_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trained: list[str] = []

    def train(problem: Problem, variant: Variant, budget: float, repeat: int, report: Any) -> dict[str, Any]:
        if len(trained) == 1 and repeat == 1:
            raise KeyboardInterrupt
        trained.append(f"{variant.name} {repeat}")
        report(budget, budget)
        return {"status": "ok"}

    monkeypatch.setattr(execute, "train", train)
    wanted = [(PROBLEMS["h2co"], VARIANTS["start"], 1e3, repeat) for repeat in range(3)]
    file, told = execute.results_file(tmp_path / "r.json"), []
    with pytest.raises(KeyboardInterrupt):
        execute.study(wanted, file)
    assert len(file.read()) == 1
    trained.append("cut off")
    assert len(execute.study(wanted, file, lambda text, amount: told.append(amount))) == 3
    assert trained == ["start 0", "cut off", "start 1", "start 2"]
    assert sum(told) == 3e3


def test_tables_show_the_newest_rows_the_best_variant_first(tmp_path: Path) -> None:
    rows = [row("a", 3.0), row("a", 1.0, date="2026-02-02"), row("b", 2.0), row("b", 8.0, repeat=1), row("c", 1.0)]
    rows.append(row("c", 0.0, repeat=1, status="failed"))
    kept = latest(rows)
    assert len(kept) == 5
    table = table_of(PROBLEMS["h2co"], kept)
    cells = [list(column.cells) for column in table.columns]
    assert cells[0] == ["a", "c", "b"]
    assert cells[5] == ["1", "1", "4"]  # geometric means
    assert cells[-1] == ["0", "1", "0"]
    draw(list(PROBLEMS.values()), kept, tmp_path / "f.png")
    assert (tmp_path / "f.png").stat().st_size > 1000
    draw([], kept, tmp_path / "none.png")
    assert not (tmp_path / "none.png").exists()


def test_own_settings_are_read_as_yaml() -> None:
    made = command.variant_of(["training.learning_rate=0.004", "training.loss.forces=mae", "core.radial_hidden=[8, 8]"])
    assert made.settings["training"]["learning_rate"] == 0.004
    assert made.settings["training"]["loss"]["forces"] == "mae"
    assert made.settings["training"]["loss"]["energy_weight"] == START["training"]["loss"]["energy_weight"]
    assert made.settings["core"]["radial_hidden"] == [8, 8]
    for wrong in ("learning_rate=1", "training.ema", "other.ema=1"):
        with pytest.raises(ConfigError, match=r"expected training\.KEY=VALUE"):
            command.variant_of([wrong])


def test_the_help_has_examples_and_names_are_checked(tmp_path: Path) -> None:
    assert command.__doc__ is not None
    assert "--problem methanol_energies --variant default" in command.__doc__
    app = typer.Typer()
    app.command()(command.main)
    found = CliRunner().invoke(app, ["--problem", "nowhere", "--out", str(tmp_path / "r.json")])
    assert found.exit_code == 2


def test_by_the_stored_rows_energies_of_one_molecule_are_learned_where_they_were_not() -> None:
    rows = [r for r in latest(execute.results_file(STORED).read()) if r["problem"] == "methanol_energies"]
    by = {
        name: [r["errors"]["energy_mae_by_constant"] for r in rows if r["variant"] == name and r["budget"] == 2e4]
        for name in ("default", "AdamW", "AdamW, free_e0=never")
    }
    for name in ("default", "AdamW"):
        assert len(by[name]) == 50
        assert max(by[name]) < 1.0
        assert median(by[name]) < 0.7
    assert median(by["AdamW, free_e0=never"]) > 0.95


def test_peers_are_trained_with_their_own_settings_on_the_same_frames(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert set(peers.RECIPES) == set(PEERS)
    data = ParityData(*(Labelled([Atoms("H2", [(0, 0, 0), (0, 0, 1.0 + i)])] * 5, np.zeros(5), []) for i in range(3)))
    monkeypatch.setattr(peers, "data_of", lambda problem, repeat: data)
    monkeypatch.setattr(ParityData, "sha256", lambda self: "s")
    monkeypatch.setattr(ParityData, "save", lambda self, path: None)
    jobs = []

    def trained(job: Job, *_: Any) -> dict[str, Any]:
        jobs.append(job)
        test = {"force_mae_mev_per_A": 2.0, "energy_mae_mev_per_atom": 0.5}
        done = {"test": test, "train_cpu_s": 7.0, "steps": 9, "n_parameters": 3, "versions": {}}
        return {"status": "ok", **done, "history": [[1, 3.0], [4, 2.0]], "best_epoch": 1}

    monkeypatch.setattr(peers, "train_contender", trained)
    out = execute.results_file(tmp_path / "rows.json")
    for _ in range(2):  # the second finds it
        row = peers.peer_row("mace", PROBLEMS["h2co_random"], 49.0, 1, out, "python", lambda *_: None)
    (job,) = jobs
    assert (job.contender, job.seed, job.training.epochs, job.training.checks) == ("mace", 1, 4, 4)
    assert (job.training.amsgrad, job.network.hidden_lmax, job.network.channels) == (True, 1, 128)
    assert Job.from_dict(job.as_dict()) == job
    assert (row["variant"], row["atom_gradients"], row["errors"]["force_mae_mev_per_A"]) == (
        "mace, recommended",
        40,
        2.0,
    )
    assert [r["key"] for r in out.read()] == [row["key"]]
