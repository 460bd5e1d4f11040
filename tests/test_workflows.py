"""The workflows call what there is, pin what they use, and may do no more than read."""

from __future__ import annotations

import configparser
import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


def test_there_are_workflows() -> None:
    assert WORKFLOWS


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_workflow(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    content = yaml.safe_load(text)
    assert content["permissions"] == {"contents": "read"}
    assert "concurrency" in content
    jobs = content["jobs"].values()
    assert all("timeout-minutes" in job and "permissions" not in job for job in jobs)
    used = [step["uses"] for job in jobs for step in job["steps"] if "uses" in step]
    assert all(re.fullmatch(r"[\w-]+/[\w-]+@(v\d+|[0-9a-f]{40})", name) for name in used), used

    tox = configparser.ConfigParser(interpolation=None)
    tox.read(ROOT / "tox.ini")
    called = {name for names in re.findall(r"tox run -e ([\w,]+)", text) for name in names.split(",")}
    assert {f"testenv:{name}" for name in called} <= set(tox.sections())
    baselines = set(re.findall(r"results/baselines/\w+\.json", text))
    assert baselines <= {"results/baselines/speed.json"}, "what a step needs has to be tracked"


def test_every_supported_python_is_tested() -> None:
    import tomllib

    classifiers = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["classifiers"]
    supported = {c.rpartition(" ")[2] for c in classifiers if re.search(r":: 3\.\d+$", c)}
    content = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8"))
    assert set(content["jobs"]["tests"]["strategy"]["matrix"]["python"]) == supported
