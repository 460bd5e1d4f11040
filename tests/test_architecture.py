"""The layout that the packages promise.

Imports run one way and in no circle; plug-ins are named at home only; files stay small; a test names every module;
docstrings say their noun; `--help` costs nothing. Exceptions stand in :mod:`tests.layout_exceptions`.
"""

from __future__ import annotations

import re
import subprocess
import sys
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

from tests import layout_exceptions as known
from tests.layout import (
    FILES,
    PACKAGES,
    ROOT,
    TESTS,
    circles,
    documented,
    homes,
    import_graph,
    imports,
    literals,
    name_of,
    project,
    within,
)

#: Packages that each package may import of.
ALLOWED = {"mfcore": {"mfcore"}, "strategies": {"mfcore", "strategies"}, "benchmarks": set(PACKAGES)}
LONGEST = 400
CLI = "mfbench.benchmarks.cli"
#: Modules that `--help` may not import.
PINNED = ("test", "type", "lint", "dask", "discovery", "docs")
"""Extras that the tox environments of CI install."""

HEAVY = {"torch", "numpy", "pandas", "ase", "scipy", "sklearn", "matplotlib", "pyarrow", "e3nn", "lightning_fabric"}
#: Groups of entry points, and the package that ours of each group live in.
COLLECTIONS = {
    "mfbench.strategies": "mfbench.strategies",
    "mfbench.tasks": "mfbench.benchmarks.tasks",
    "mfbench.cores": "mfbench.mfcore.cores",
    "mfbench.observables": "mfbench.benchmarks.observables",
}
PLUGINS = {
    group: homes(project()["entry-points"].get(group, {}), collection) for group, collection in COLLECTIONS.items()
}


def imported(path: Path) -> set[str]:
    """Top-level names that a file imports, but of this project the package: "mfcore" for `mfbench.mfcore.errors`."""
    return {name.removeprefix("mfbench.").partition(".")[0] for name in imports(path)}


def short(path: Path) -> str:
    return str(path.relative_to(ROOT))


def test_there_are_packages_to_look_at() -> None:
    assert {path.relative_to(ROOT).parts[0] for path in FILES} == set(PACKAGES)


# ---- imports


@pytest.mark.parametrize("package", PACKAGES)
def test_imports_run_one_way(package: str) -> None:
    forbidden = ({*PACKAGES, "tests"}) - ALLOWED[package]
    files = [path for path in FILES if path.is_relative_to(ROOT / package)]
    wrong = {short(path): imported(path) & forbidden for path in files}
    assert {name: names for name, names in wrong.items() if names} == {}


def commands_that_import_commands() -> set[str]:
    graph = import_graph(FILES)
    commands = {name for name in graph.successors(f"{CLI}.main") if within(name, CLI)}
    assert len(commands) >= 10
    return {a for a, b in graph.edges if {a, b} <= commands}


def test_a_command_imports_no_command() -> None:
    assert commands_that_import_commands() - known.COMMANDS == set()


def test_no_circle_of_files() -> None:
    new = [sorted(circle) for circle in circles(import_graph(FILES)) if not any(circle <= old for old in known.CIRCLES)]
    assert new == [], "types or functions that two files need belong in a third file below both"


def test_the_checks_see_an_import_of_any_kind(tmp_path: Path) -> None:
    path = tmp_path / "x.py"
    path.write_text(
        "import a.b, c\nfrom d.e import f\ndef g():\n    from h import i\nfrom mfbench import j\nimport mfbench.k.l\n"
    )
    assert imported(path) == {"a", "c", "d", "h", "j", "k"}


def test_the_check_sees_circles_of_any_kind(tmp_path: Path) -> None:
    texts = {
        "p/__init__.py": "",
        "p/a.py": "from mfbench.p import b",
        "p/b.py": "def f():\n    import mfbench.p.c",
        "p/c.py": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from mfbench.p.a import A",
        "p/d.py": "from mfbench.p.a import A",
    }
    for name, text in texts.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    graph = import_graph([tmp_path / name for name in texts], tmp_path)
    assert circles(graph) == [{"mfbench.p.a", "mfbench.p.b", "mfbench.p.c"}]


# ---- plug-ins


def named_elsewhere(path: Path, module: str) -> set[str]:
    """Our own plug-ins that a file names, as a string or by importing from them, and that live elsewhere."""
    strings, modules = literals(path), imports(path)
    return {
        name
        for plugins in PLUGINS.values()
        for name, home in plugins.items()
        if not within(module, home)
        if (name in strings and name not in known.COMMON_WORDS) or any(within(m, home) for m in modules)
    }


def excepted(module: str) -> set[str]:
    return {name for pattern, names in known.NAMED.items() if fnmatchcase(module, pattern) for name in names}


def test_plugins_are_named_at_home_only() -> None:
    modules = {name_of(path): path for path in FILES}
    found = {module: named_elsewhere(path, module) - excepted(module) for module, path in modules.items()}
    found = {module: names for module, names in found.items() if names}
    assert found == {}, "ask plug-ins for their traits, or take them from their registries by a name that is given"


def test_the_check_sees_a_name_in_code_and_not_in_a_docstring(tmp_path: Path) -> None:
    words, code = tmp_path / "words.py", tmp_path / "code.py"
    words.write_text('"""transfer"""\n#: transfer\nX = 1\n"""multi_head"""\n')
    assert named_elsewhere(words, "mfbench.benchmarks.x") == set()
    code.write_text('a = {"multi_head": 1}\ndef f():\n    from mfbench.benchmarks.tasks.h2co.card import x\n')
    assert named_elsewhere(code, "mfbench.benchmarks.x") == {"multi_head", "h2co", "h2co_3level"}
    assert named_elsewhere(code, "mfbench.benchmarks.tasks.h2co.y") == {"multi_head"}


def test_plugins_live_below_their_collections() -> None:
    for group, plugins in PLUGINS.items():
        assert all(within(home, COLLECTIONS[group]) and home != COLLECTIONS[group] for home in plugins.values()), group


# ---- files and words


def long_files() -> dict[str, int]:
    kinds = {".py", ".js", ".css", ".j2", ".cpp", ".h"}
    paths = [p for folder in (*PACKAGES, "tests") for p in (ROOT / folder).rglob("*") if p.suffix in kinds]
    lengths = {short(path): len(path.read_text(encoding="utf-8").splitlines()) for path in paths}
    return {name: n for name, n in lengths.items() if n > LONGEST}


def test_files_stay_small() -> None:
    assert {name: n for name, n in long_files().items() if n > known.LONG.get(name, LONGEST)} == {}


def test_docstrings_say_their_noun() -> None:
    wrong = [
        f"{short(path)}:{line}: {text.splitlines()[0]}"
        for path in (*FILES, *TESTS)
        for line, text in documented(path)
        if re.match(r"(What|Who|Whether)\b", text)
    ]
    assert len(wrong) <= known.HIDDEN_NOUNS, "\n".join(wrong)


def test_the_check_sees_docstrings_of_any_kind(tmp_path: Path) -> None:
    path = tmp_path / "x.py"
    path.write_text(
        '"""What 1."""\n#: Who 2\nX = 1\n"""Whether 3."""\n'
        'class A:\n    """What 4."""\n    def f(self):\n        """Who 5."""\n'
    )
    assert sorted(re.findall(r"\d", " ".join(text for _, text in documented(path)))) == ["1", "2", "3", "4", "5"]


# ---- tests


def unnamed_modules() -> list[str]:
    """Modules that no test imports, or mentions by their dotted path or the name of their entry point."""
    texts = {path: path.read_text(encoding="utf-8") for path in TESTS if path.name != "layout_exceptions.py"}
    named = {name for path in texts for name in imports(path)}
    named |= {name for text in texts.values() for name in re.findall(r"mfbench(?:\.\w+)+", text)}
    named |= {name.rpartition(".")[0] for name in named}  # a module whose part is named
    named |= {f"{name}.__main__" for name in named}  # `python -m` takes the name of the package
    # the contract suites take plug-ins by the names of their entry points
    strings = set().union(*(literals(path) for path in texts))
    points = {name: point for group in PLUGINS for name, point in project()["entry-points"].get(group, {}).items()}
    named |= {point.partition(":")[0] for name, point in points.items() if name in strings}
    return [name_of(path) for path in FILES if path.stat().st_size and name_of(path) not in named]


def test_every_module_is_named_in_a_test() -> None:
    missing = [name for name in unnamed_modules() if not any(fnmatchcase(name, pattern) for pattern in known.UNNAMED)]
    assert missing == [], "name them in a test, or in tests.layout_exceptions with the reason"


def test_all_exceptions_are_needed() -> None:
    modules = {name_of(path): path for path in FILES}
    graph = import_graph(FILES)
    spare: list[object] = [circle for circle in known.CIRCLES if not any(found <= circle for found in circles(graph))]
    spare += known.COMMANDS - commands_that_import_commands()
    for pattern, names in known.NAMED.items():
        found = [named_elsewhere(path, name) for name, path in modules.items() if fnmatchcase(name, pattern)]
        spare += [(pattern, name) for name in names - set().union(*found)]
    unnamed = unnamed_modules()
    spare += [pattern for pattern in known.UNNAMED if not any(fnmatchcase(name, pattern) for name in unnamed)]
    spare += set(known.LONG) - set(long_files())
    assert spare == [], "take them out of tests.layout_exceptions"


# ---- dependencies


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
    lists = [project()["dependencies"], *project()["optional-dependencies"].values()]
    declared = {re.split(r"[^A-Za-z0-9_.-]", item)[0].lower() for items in lists for item in items}
    distribution = {"yaml": "pyyaml", "sklearn": "scikit-learn", "lightning_fabric": "lightning-fabric"}
    distribution |= {
        "matbench_discovery": "matbench-discovery",
        "dask_jobqueue": "dask-jobqueue",
        "distributed": "dask",
        "torch_sim": "torch-sim-atomistic",
    }
    # mace cannot be an extra, see pyproject.toml; sevenn has torch_geometric, and nequip omegaconf; gpaw is in a Python
    # of its own; kernels for CUDA are used where a user has them
    elsewhere = {"mace", "torch_geometric", "omegaconf", "gpaw"}
    elsewhere |= {"cuequivariance", "openequivariance", "flashTP_e3nn"}
    used = {name for path in FILES for name in imported(path)} - set(sys.stdlib_module_names) - {*PACKAGES, "mfbench"}
    missing = {name for name in used - elsewhere if distribution.get(name, name).lower() not in declared}
    assert missing == set()


def test_every_dependency_is_pinned_for_the_tests() -> None:
    extras = project()["optional-dependencies"]
    wanted = [*project()["dependencies"], *(item for name in PINNED for item in extras[name])]
    pins = {
        line.partition("==")[0].lower()
        for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
        if "==" in line
    }
    assert {re.split(r"[^A-Za-z0-9_.-]", item)[0].lower() for item in wanted} - pins == set()
