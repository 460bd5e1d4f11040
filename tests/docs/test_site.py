"""The documentation names what there is: pages, commands with their options, settings, presets. Nothing is built."""

from __future__ import annotations

import ast
import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from mfbench.benchmarks.harness.executors.cluster.cluster_file import read_cluster
from mfbench.benchmarks.harness.presets import load_preset
from mfbench.strategies.registry import arm_names, make_arm

ROOT = Path(__file__).parents[2]
SITE = ROOT / "docs"
PAGES = sorted(path for path in SITE.rglob("*.md") if "_build" not in path.parts)
TEXTS = [*PAGES, *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "benchmarks/tuning/README.md"))]


@pytest.fixture(scope="module")
def extensions() -> Iterator[None]:
    """The folder of the site's own extensions, as Sphinx finds them."""
    sys.path.insert(0, str(SITE / "_ext"))
    yield
    sys.path.remove(str(SITE / "_ext"))


@pytest.fixture(scope="module")
def commands(extensions: None) -> dict[str, set[str]]:
    """Options of each command."""
    from cli_tree import commands, options_of

    return {words: options_of(command) for words, command in commands().items()}


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def blocks(path: Path) -> list[tuple[str, str]]:
    """Kind and text of the fenced and the indented blocks of a page."""
    text = path.read_text(encoding="utf-8")
    fenced = re.findall(r"^ *```+(\S*)[^\n]*\n(.*?)^ *```+ *$", text, re.S | re.M)
    rest = re.sub(r"^ *```+.*?^ *```+ *$", "", text, flags=re.S | re.M)
    indented = re.findall(r"(?:^\n)((?:^ {4}\S[^\n]*\n)+)", rest, re.M)
    return [*fenced, *(("", block) for block in indented)]


def spans(path: Path) -> list[str]:
    """Code within sentences."""
    text = re.sub(r"^ *```+.*?^ *```+ *$", "", path.read_text(encoding="utf-8"), flags=re.S | re.M)
    return [" ".join(span.split()) for span in re.findall(r"(?<!`)`([^`]+)`(?!`)", text)]


def calls(text: str) -> list[list[str]]:
    """Words of each call of mfbench in a piece of shell."""
    text = re.sub(r"\s+#.*$", "", text.replace("\\\n", " "), flags=re.M)
    pieces = re.split(r"\n|&&|\|", text)
    return [shlex.split(p.strip().removeprefix("$ "))[1:] for p in pieces if re.match(r"\s*(\$ )?mfbench( |$)", p)]


def faults(words: list[str], commands: dict[str, set[str]]) -> list[str]:
    """Say what a call names that is not there."""
    if not words or words[0] == "COMMAND":
        return []
    command = next((c for n in (2, 1) if (c := " ".join(words[:n])) in commands), "")
    if not command and not words[0].startswith("-"):
        return [f"no command {words[0]}"]
    given = [word.partition("=")[0] for word in words if re.fullmatch(r"-{1,2}[a-z][\w-]*(=.*)?", word)]
    return [f"{command} has no {option}" for option in given if option not in commands[command]]


def test_every_page_is_in_a_table_of_contents() -> None:
    listed = {SITE / "index.md"}
    for path in PAGES:
        for kind, text in blocks(path):
            if kind == "{toctree}":
                lines = [line for line in text.splitlines() if line.strip() and not line.startswith(":")]
                listed |= {(path.parent / f"{line.strip()}.md").resolve() for line in lines}
    assert set(PAGES) - listed == set(), "pages that nothing leads to"
    assert listed - set(PAGES) == set(), "pages that are not there"


def test_a_newcomer_starts_in_two_clicks() -> None:
    assert "](tutorial.md)" in (SITE / "index.md").read_text(encoding="utf-8")
    assert "docs/tutorial.md" in (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("path", TEXTS, ids=name)
def test_commands_and_options_exist(path: Path, commands: dict[str, set[str]]) -> None:
    found = [words for kind, text in blocks(path) if kind in ("", "bash", "console", "{run}") for words in calls(text)]
    found += [words for span in spans(path) for words in calls(span)]
    assert [fault for words in found for fault in faults(words, commands)] == []
    known = set().union(*commands.values())
    alone = {s.split("=")[0].split(" ")[0] for s in spans(path) if re.match(r"--[a-z]", s)}
    others = {"--no-deps", "--hypothesis-profile", "--host", "--memory-limit"}  # of pip, of hypothesis, and of Dask
    assert alone - known - others == set()


def test_the_check_sees_what_is_not_there(commands: dict[str, set[str]]) -> None:
    (wrong,) = calls("    mfbench compare --lowest a.xyz  # --high is one\n")
    assert faults(wrong, commands) == ["compare has no --lowest"]
    assert faults(["data", "inspects"], commands) == ["no command data"]
    assert faults(["data", "inspect", "x.xyz", "--block", "1"], commands) == []
    assert faults(["--version"], commands) == []


@pytest.mark.parametrize("path", TEXTS, ids=name)
def test_settings_exist(path: Path, extensions: None) -> None:
    from settings_reference import keys

    known = keys()
    named = {s.partition(":")[0] for s in spans(path) if re.fullmatch(r"(training|core|tasks)(\.[a-z_]\w*)+(: .*)?", s)}
    assert named - known == set()


def test_every_setting_is_described(extensions: None) -> None:
    from settings_reference import CHAPTERS, keys, parts, text_of, undescribed

    assert undescribed() == []
    assert {"training.learning_rate", "core.cutoff", "tasks.regimes.n_high", "walltime", "e0"} <= keys()
    assert set(parts()) == set(CHAPTERS)
    text = text_of(parts()["arms"][1])
    assert "| `warmup` | `0.02` |" in text
    assert "at least 0 and below 1" in text
    page = (SITE / "reference" / "settings.md").read_text(encoding="utf-8")
    assert all(f"```{{settings}} {chapter}" in page for chapter in CHAPTERS)


def yaml_blocks() -> list[Any]:
    return [
        pytest.param(text, id=f"{name(path)}-{number}")
        for path in TEXTS
        for number, (kind, text) in enumerate(blocks(path))
        if kind == "yaml"
    ]


@pytest.mark.parametrize("text", yaml_blocks())
def test_files_of_the_pages_are_read(text: str, tmp_path: Path) -> None:
    content, file = yaml.safe_load(text), tmp_path / "file.yml"
    if "tasks" in content and "name" in content:
        file.write_text(text, encoding="utf-8")
        assert load_preset(str(file)).tasks
    elif "system" in content:
        file.write_text(text, encoding="utf-8")
        assert read_cluster(file).jobs
    elif content.keys() & {"core", "training", "e0"} and not isinstance(content.get("core"), list):
        assert make_arm(arm_names()[0], content)
    else:  # a part of a preset
        assert content.keys() <= {"tasks", "core"}


def test_python_of_the_pages_can_be_parsed() -> None:
    found = [t for path in TEXTS for k, t in blocks(path) if k in ("python", "{code-cell}") or ":python:" in t]
    assert len(found) > 15
    for text in found:
        ast.parse(re.sub(r"^ *:\S+:.*\n", "", re.sub(r"^ {3}", "", text, flags=re.M), flags=re.M))


def test_links_of_a_built_site_are_followed(tmp_path: Path) -> None:
    sys.path.insert(0, str(SITE))
    try:
        from check_links import broken
    finally:
        sys.path.remove(str(SITE))
    (tmp_path / "a").mkdir()
    (tmp_path / "index.html").write_text(
        '<a href="a/x.html#here">1</a><a href="a/x.html#there">2</a><a href="y.html">3</a><a href="https://z.org">4'
    )
    (tmp_path / "a" / "x.html").write_text(
        '<h1 id="here"></h1><img src="../p.png"><a href="#here">5</a><a href="..">6</a>'
    )
    assert [fault.split(": ")[1] for fault in broken(tmp_path)] == ["../p.png", "a/x.html#there", "y.html"]


def test_output_is_wrapped_as_a_terminal_would(extensions: None) -> None:
    from wrapping import command_lines, wrapped

    words = " ".join(f"word{number:02d}" for number in range(40))
    report = [
        words[:118].rpartition(" ")[0] + " more",
        words[118:200],
        "",
        "arm   1.0",
        "─" * 119,
        "x" * 130,
        "next one",
    ]
    found = wrapped(report)
    assert max(map(len, found[:-3])) <= 100
    assert found[1].startswith("  ")  # goes on, with what the report had in its next line
    assert " ".join(" ".join(found[:3]).split()).startswith(report[0])
    assert found[-1] == "next one"
    assert "arm   1.0" in found
    lines = command_lines("mfbench compare " + "--arm single_fidelity " * 6 + "--out first")
    assert all(line.endswith(" \\") for line in lines[:-1])
    assert not any(line.removesuffix(" \\").endswith("--arm") for line in lines)
