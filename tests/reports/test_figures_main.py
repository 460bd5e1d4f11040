"""Drawing the figures of all stored results."""

import errno
import io
import re
from pathlib import Path

import numpy as np
import pytest
from matplotlib import cbook, pyplot
from typer.testing import CliRunner

from mfbench.benchmarks.cli.main import app
from mfbench.benchmarks.harness.rows_file import write_rows
from mfbench.benchmarks.reports.figures.__main__ import main
from mfbench.benchmarks.reports.figures.save import FORMATS, save
from mfbench.mfcore.errors import StorageError
from mfbench.mfcore.files import replacing
from mfbench.mfcore.locks import only_writer_of
from tests.reports.synthetic import make_rows


def test_each_file_of_rows_gets_its_figures_beside_it(tmp_path: Path, capsys) -> None:
    rows = make_rows({"a": 10.0, "b": 20.0}, draws=2, n_high=(25, 100), spread=lambda a, d, s: 1 + 0.01 * np.sin(d))
    rows = rows[rows["metric"] == "force_mae_mev_per_A"]
    for name in ("one", "two"):
        write_rows(rows, tmp_path / name / "rows.csv.gz")
    assert main([str(tmp_path), "--format", "svg"]) == 0
    out, err = capsys.readouterr()
    made = sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.svg"))
    assert len(made) == 8
    assert sorted(Path(line).relative_to(tmp_path).as_posix() for line in out.split()) == made
    assert "one/figures/heat-map-synthetic.svg" in made
    assert len(re.findall("left out: survival: no run", err)) == 2
    command = f"mfbench figures {(tmp_path / 'one' / 'rows.csv.gz').as_posix()}"
    assert command in (tmp_path / "one" / "figures" / "heat-map-synthetic.svg").read_text()


def test_a_folder_without_rows_is_an_error(tmp_path: Path, capsys) -> None:
    assert main([str(tmp_path)]) == 2
    assert "nothing to draw" in capsys.readouterr().err


def test_each_reason_is_said_once_where_no_figure_can_be_drawn(tmp_path: Path) -> None:
    write_rows(make_rows({"a": 10.0, "b": 20.0}), tmp_path / "rows.csv.gz")
    done = CliRunner().invoke(app, ["figures", str(tmp_path / "rows.csv.gz"), "--only", "survival"])
    assert done.exit_code == 2
    *_, left_out, error = done.stderr.splitlines()
    assert left_out.startswith("left out: survival: no run")
    assert error == "error: no figure can be drawn of these runs."
    assert sorted(p.name for p in tmp_path.iterdir()) == ["rows.csv.gz"]


def test_two_do_not_draw_into_one_folder_and_litter_of_killed_ones_is_swept(tmp_path: Path) -> None:
    write_rows(make_rows({"a": 10.0, "b": 20.0}, draws=2), tmp_path / "rows.csv.gz")
    call = ["figures", str(tmp_path / "rows.csv.gz"), "--format", "svg", "--only", "heat-map"]
    folder = tmp_path / "figures"
    folder.mkdir()
    (folder / ".heat-map-x.mfbench-abc.svg").write_text("<svg")
    with only_writer_of(folder):
        (folder / ".heat-map-y.mfbench-abc.svg").write_text("<svg")
        refused = CliRunner().invoke(app, call)
    assert refused.exit_code == 2
    assert f"{folder}: another mfbench works on it" in refused.stderr
    assert CliRunner().invoke(app, call).exit_code == 0
    assert [p.name for p in folder.iterdir()] == ["heat-map-synthetic.svg"]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["figures", "rows.csv.gz"]


def test_the_command_chooses_style_and_kinds(tmp_path: Path) -> None:
    rows = make_rows({"a": 10.0, "b": 20.0}, draws=2)
    write_rows(rows, tmp_path / "rows.csv.gz")
    call = ["figures", str(tmp_path / "rows.csv.gz"), "--style", "talk", "--format", "svg"]
    done = CliRunner().invoke(app, [*call, "--only", "heat-map", "--only", "survival"])
    assert done.exit_code == 0
    path = tmp_path / "figures-talk" / "heat-map-synthetic.svg"
    assert done.stdout.split() == [str(path)]
    assert "left out: survival: no run has" in done.stderr
    assert "--style talk" in path.read_text()
    wrong = CliRunner().invoke(app, [*call, "--only", "pie"])
    assert wrong.exit_code == 2
    assert "expected one of learning-curve, training-compute, pareto" in wrong.stderr


class _Full(io.FileIO):
    """A file on a disk that is full after some writes."""

    writes = 0

    def write(self, data) -> int:
        type(self).writes -= 1
        if self.writes < 0:
            raise OSError(errno.ENOSPC, "")
        return super().write(data)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device that is full is Linux's")
@pytest.mark.parametrize("kind", FORMATS)
def test_a_full_disk_is_the_error_at_whatever_write(tmp_path: Path, monkeypatch, kind: str) -> None:
    """matplotlib's writer of PDF raises an AttributeError of its own where the header of a stream cannot be written."""
    monkeypatch.setitem(save.__globals__, "replacing", lambda path: replacing(Path("/dev/full")))
    monkeypatch.setattr(cbook, "open", lambda path, mode, **_: _Full(path, mode), raising=False)
    figure, axes = pyplot.subplots()
    axes.plot([0, 1], [0, 1])
    for writes in range(0, 40, 3):
        monkeypatch.setattr(_Full, "writes", writes)
        with pytest.raises(StorageError, match="no space is left"):
            save(figure, tmp_path / "line", [kind], {"Title": "line", "Creator": "x", "Description": "y"}, 50)
    pyplot.close(figure)
    assert list(tmp_path.iterdir()) == []
