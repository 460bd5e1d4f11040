"""The layout that the packages promise: imports run one way, files stay small, and --help costs nothing."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("mfcore", "strategies", "benchmarks")
#: What each package may import of the others.
ALLOWED = {"mfcore": {"mfcore"}, "strategies": {"mfcore", "strategies"}, "benchmarks": set(PACKAGES)}
LONGEST = 450
#: What `--help` may not import.
HEAVY = {"torch", "numpy", "pandas", "ase", "scipy", "sklearn", "matplotlib", "pyarrow", "e3nn", "lightning_fabric"}

FILES = [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]


def imported(path: Path) -> set[str]:
    """Names that a file imports anywhere, also inside functions and for typing only.

    The top-level name, but for this project the package: "strategies" for `mfbench.strategies.base`.
    """
    modules = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            modules += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: relative import"
            modules += [f"{node.module}.{alias.name}" for alias in node.names]
    return {module.removeprefix("mfbench.").partition(".")[0] for module in modules}


def test_there_are_packages_to_look_at() -> None:
    assert {path.relative_to(ROOT).parts[0] for path in FILES} == set(PACKAGES)


@pytest.mark.parametrize("package", PACKAGES)
def test_imports_run_one_way(package: str) -> None:
    forbidden = ({*PACKAGES, "tests"}) - ALLOWED[package]
    files = [path for path in FILES if path.is_relative_to(ROOT / package)]
    wrong = {str(path.relative_to(ROOT)): imported(path) & forbidden for path in files}
    assert {name: names for name, names in wrong.items() if names} == {}


def test_the_check_sees_an_import_of_any_kind(tmp_path: Path) -> None:
    path = tmp_path / "x.py"
    path.write_text(
        "import a.b, c\nfrom d.e import f\ndef g():\n    from h import i\nfrom mfbench import j\nimport mfbench.k.l\n"
    )
    assert imported(path) == {"a", "c", "d", "h", "j", "k"}


def test_files_stay_small() -> None:
    lengths = {str(path.relative_to(ROOT)): len(path.read_text(encoding="utf-8").splitlines()) for path in FILES}
    assert {name: n for name, n in lengths.items() if n > LONGEST} == {}


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys\n"
        "from mfbench.benchmarks.cli.main import app\n"
        "try:\n    app(['--help'])\nexcept SystemExit as end:\n    assert not end.code\n"
        f"print('heavy:', sorted({HEAVY} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "heavy: []"


def test_everything_that_is_imported_is_declared() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lists = [project["dependencies"], *project["optional-dependencies"].values()]
    declared = {re.split(r"[^A-Za-z0-9_.-]", item)[0].lower() for items in lists for item in items}
    distribution = {"yaml": "pyyaml", "sklearn": "scikit-learn", "lightning_fabric": "lightning-fabric"}
    # mace cannot be an extra, see pyproject.toml; sevenn has torch_geometric; gpaw is in a Python of its own
    # matbench_discovery, 200 MB with its tree, makes folders in site-packages when imported: no extra asks for that
    elsewhere = {"mace", "torch_geometric", "gpaw", "matbench_discovery"}
    used = {name for path in FILES for name in imported(path)} - set(sys.stdlib_module_names) - {*PACKAGES, "mfbench"}
    missing = {name for name in used - elsewhere if distribution.get(name, name).lower() not in declared}
    assert missing == set()


def test_every_dependency_is_pinned_for_the_tests() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    wanted = [*project["dependencies"], *extras["test"], *extras["type"], *extras["lint"]]
    pins = {
        line.partition("==")[0].lower()
        for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
        if "==" in line
    }
    assert {re.split(r"[^A-Za-z0-9_.-]", item)[0].lower() for item in wanted} - pins == set()
