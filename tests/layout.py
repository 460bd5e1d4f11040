"""The files of the packages, their imports and their words, as the tests of the layout need them."""

from __future__ import annotations

import ast
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import networkx as nx

ROOT = Path(__file__).parents[1]
PACKAGES = ("mfcore", "strategies", "benchmarks")
FILES = [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]
TESTS = sorted((ROOT / "tests").rglob("*.py"))


@cache
def tree(path: Path) -> ast.Module:
    """The syntax tree of a file."""
    return ast.parse(path.read_text(encoding="utf-8"))


@cache
def project() -> dict[str, Any]:
    """The table `project` of pyproject.toml."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def name_of(path: Path, root: Path = ROOT) -> str:
    """Dotted name that a file of the packages is imported by."""
    parts = ("mfbench", *path.relative_to(root).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def imports(path: Path) -> list[str]:
    """Dotted names that a file imports anywhere, also inside functions and for typing; `from a import b` gives a.b."""
    names = []
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: relative import"
            names += [f"{node.module}.{alias.name}" for alias in node.names]
    return names


def within(name: str, package: str) -> bool:
    """Say if a dotted name is a package or something in it."""
    return name == package or name.startswith(package + ".")


def import_graph(files: Iterable[Path], root: Path = ROOT) -> nx.DiGraph:
    """Edges from each module to those that its file names in an import.

    The `__init__` of a package that a module lies in is no such name: those of this project are empty or lazy.
    """
    modules = {name_of(path, root): path for path in files}
    graph = nx.DiGraph()
    graph.add_nodes_from(modules)
    for module, path in modules.items():
        for name in imports(path):
            while name and name not in modules:
                name = name.rpartition(".")[0]
            if name and name != module:
                graph.add_edge(module, name)
    return graph


def circles(graph: nx.DiGraph) -> list[frozenset[str]]:
    """Sets of modules that all reach each other."""
    return sorted((frozenset(c) for c in nx.strongly_connected_components(graph) if len(c) > 1), key=sorted)


def documented(path: Path) -> Iterator[tuple[int, str]]:
    """Line and text of each docstring of a file, and of each comment `#:`, which documents a name."""
    for node in ast.walk(tree(path)):
        body = getattr(node, "body", None)
        if not isinstance(body, list):
            continue
        # a string after an assignment documents it, as one at the start of a body does
        for statement in body:
            match statement:
                case ast.Expr(ast.Constant(str(text))):
                    yield statement.lineno, text.strip()
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if line.strip().startswith("#:"):
            yield number, line.strip()[2:].strip()


@cache
def literals(path: Path) -> set[str]:
    """Strings in a file's code; docstrings are not code."""
    described = {id(n.value) for n in ast.walk(tree(path)) if isinstance(n, ast.Expr)}
    return {
        node.value
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in described
    }


def homes(points: Mapping[str, str], collection: str) -> dict[str, str]:
    """Package or module that a plug-in of our own lives in: the part of its entry point just below `collection`."""
    depth = collection.count(".") + 2
    return {name: ".".join(target.partition(":")[0].split(".")[:depth]) for name, target in points.items()}
