"""The import package: its doors, and a clone whose links did not become links."""

from __future__ import annotations

import runpy
import subprocess
import sys
from pathlib import Path

import pytest

import mfbench
import mfbench.strategies

ROOT = Path(__file__).parents[1]
LINKS = ("mfcore", "strategies", "benchmarks")


def test_the_links_lead_to_the_folders_of_the_clone() -> None:
    for name in LINKS:
        link = ROOT / "mfbench" / name
        assert link.is_symlink()
        assert link.readlink() == Path("..") / name  # relative: it moves with the clone


@pytest.mark.parametrize(
    "broken",
    [pytest.param("mfcore", id="first"), pytest.param("benchmarks", id="last")],
)
@pytest.mark.parametrize(
    ("write", "found"), [(lambda path: path.write_text("../x"), "is a file"), (lambda path: None, "is missing")]
)
def test_links_that_were_checked_out_as_files_are_named(tmp_path: Path, broken: str, write, found: str) -> None:
    for name in set(LINKS) - {broken}:
        (tmp_path / name).mkdir()
    write(tmp_path / broken)
    start = tmp_path / "__init__.py"
    start.write_text((ROOT / "mfbench" / "__init__.py").read_text(encoding="utf-8"), encoding="utf-8")
    with pytest.raises(ImportError, match=r"git config core\.symlinks true") as error:
        runpy.run_path(str(start))
    assert found in str(error.value)
    assert str(tmp_path / broken) in str(error.value)
    assert "\n" not in str(error.value)


def test_a_whole_package_starts_and_stays_light() -> None:
    code = "import sys, mfbench, mfbench.strategies; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "False"


def test_the_doors_lead_to_what_they_name() -> None:
    from mfbench.mfcore.potentials.potential import Potential, load
    from mfbench.strategies.base import Strategy
    from mfbench.strategies.settings import StrategySettings

    assert (mfbench.Potential, mfbench.load) == (Potential, load)
    assert mfbench.strategies.Strategy is Strategy
    assert mfbench.strategies.StrategySettings is StrategySettings
    for package in (mfbench, mfbench.strategies):
        with pytest.raises(AttributeError, match=f"'{package.__name__}' has no attribute 'nothing'"):
            package.nothing  # noqa: B018
