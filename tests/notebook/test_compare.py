"""`mfbench.compare` beside the command of the same name, on the same tiny files and seeds."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from ase.io import read

import mfbench
from mfbench.benchmarks.harness.store import RunStore
from mfbench.benchmarks.notebook.compare import compare
from mfbench.benchmarks.notebook.comparison import Comparison
from mfbench.mfcore.errors import ConfigError, DataError
from tests.cli.test_own_files import TINY, Files

ASKED = {"arms": ["single_fidelity", "multi_fidelity"], "budget": 600, "draws": 2, "workers": 0, "settings": TINY}


def scores(rows: pd.DataFrame) -> pd.DataFrame:
    """Scores of runs: what does not depend on how fast the machine was."""
    columns = ["run_key", "arm", "draw", "seed", "split", "metric", "value", "unit", "n"]
    errors = rows[~rows["metric"].str.contains("inference")]
    return errors[columns].sort_values(columns[:6]).reset_index(drop=True)


def test_python_and_the_command_give_the_same_numbers(call, files: Files, tmp_path: Path) -> None:
    printed = call(*files.compare())
    assert printed.exit_code == 0, printed.stderr
    stored = RunStore(files.out).rows()

    apart = mfbench.compare(files.low, files.high, out=tmp_path / "python", **ASKED)
    assert isinstance(apart, Comparison)
    pd.testing.assert_frame_equal(scores(apart.rows), scores(stored))
    assert apart.recommendation in printed.stdout
    assert "Use " in apart.recommendation or "No arm can be named" in apart.recommendation
    for line in apart.said[:-5]:  # but the runs, and how many of them are stored
        assert line in printed.stdout or "compared with each other by an earlier command" in line

    heard: list[str] = []
    again = compare(str(files.low), str(files.high), out=files.out, tell=heard.append, **ASKED)
    assert "4 runs: 4 stored, 0 to compute." in heard
    assert list(again.said) == heard
    assert str(again).rstrip() == printed.stdout[printed.stdout.index("user, n_high") :].rstrip()


def test_frames_in_memory_are_the_same_as_files(files: Files, tmp_path: Path) -> None:
    files.edit(files.high, lambda content: content[:18])
    frames = read(files.high, ":")
    low, high = read(files.low, ":"), frames[:12]
    own = [atoms.copy() for atoms in frames[12:]]
    from_memory = compare(low, high, test=own, out=tmp_path / "memory", **ASKED)
    written = {path.name.partition("-")[0]: path for path in (tmp_path / "memory" / "frames").iterdir()}
    assert set(written) == {"low", "high", "test"}
    from_files = compare(written["low"], written["high"], test=written["test"], out=tmp_path / "files", **ASKED)
    # rows name the file of the test
    drop = ["split"]
    pd.testing.assert_frame_equal(
        scores(from_memory.rows).drop(columns=drop), scores(from_files.rows).drop(columns=drop)
    )
    for level, path in (("dft", written["low"]), ("cc", written["high"])):
        for was, now in zip({"dft": low, "cc": high}[level], read(path, ":"), strict=True):
            assert now.info[f"{level}_energy"] == was.info[f"{level}_energy"]
            np.testing.assert_array_equal(now.arrays[f"{level}_forces"], was.arrays[f"{level}_forces"])
            np.testing.assert_array_equal(now.positions, was.positions)


def test_tables_are_numbers_and_a_notebook_shows_names_as_text(files: Files, tmp_path: Path) -> None:
    found = compare(files.low, files.high, out=tmp_path / "runs", **ASKED)
    (table,) = found.tables.values()
    assert set(table.index) == set(ASKED["arms"])
    rows = found.rows
    mine = rows[(rows["metric"] == "force_mae_mev_per_A") & (rows["arm"] == "multi_fidelity")]
    assert table.loc["multi_fidelity", ("F (meV/Å)", "value")] == pytest.approx(mine["value"].mean())
    assert table.loc["multi_fidelity", ("F (meV/Å)", "±")] > 0
    assert table["runs", "value"].tolist() == [2, 2]
    assert set(found.table["arm"]) == set(ASKED["arms"])
    assert all(figure.axes for figure in found.figures.values())
    assert found.figures
    assert found.recommendations.keys() == found.tables.keys()

    html = found._repr_html_()
    assert found.recommendation.split(":")[0] in html
    assert "<table>" in html
    hostile = Comparison(found.folder, found.results, ["<script>alert(1)</script>"], ["<b>"], ["<img src=x>"])
    html = hostile._repr_html_()
    assert "<script" not in html
    assert "<img" not in html
    assert "<b>" not in html
    assert "&lt;script&gt;" in html


def test_faults_are_errors_in_the_words_of_the_command(call, files: Files, tmp_path: Path) -> None:
    words = call(*files.compare(), "--n-high", 500).stderr
    with pytest.raises(ConfigError) as error:
        compare(files.low, files.high, n_high=500, out=files.out, **ASKED)
    assert str(error.value) == words.removeprefix("error: ").strip()
    for arguments, told in (
        ({"low": files.low}, "no file of HF frames"),
        ({"high": files.high}, "there are no LF frames to compare with"),
        ({"high": files.high, "levels": {"a": files.low}}, "in place of --low"),
        ({"low": files.low, "high": files.high, "draws": 0}, "draws: found 0"),
        ({"low": files.low, "high": files.high, "arms": "transfers"}, "transfers"),
    ):
        with pytest.raises(ConfigError, match=told):
            compare(**arguments, out=files.out)
    with pytest.raises(DataError, match=r"expected ase\.Atoms"):
        compare(files.low, [1, 2], out=files.out)
    with pytest.raises(DataError, match="the list has no frame"):
        compare(files.low, [], out=files.out)


def test_a_script_without_a_main_starts_no_second_comparison(files: Files, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    asked = ASKED | {"workers": 1, "draws": 1, "arms": "single_fidelity"}
    names = [str(files.low), str(files.high)]
    script.write_text(
        "import mfbench\nprint('begins')\n"
        f"found = mfbench.compare(*{names!r}, out={str(tmp_path / 'runs')!r}, **{asked!r})\n"
        "print(len(found.failed), __file__)\n"
    )
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=250)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["begins", f"0 {script}"]
