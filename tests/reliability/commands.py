"""Commands in processes of their own, which can be killed, and what they have made."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from mfbench.benchmarks.harness.store import RunStore
from tests.cli.test_own_files import Files
from tests.harness.conftest import PLUGIN

_log = logging.getLogger("mfbench")

ROOT = Path(__file__).parents[2]
TIMES = ("train_wall_s", "train_cpu_s", "inference_us_per_atom", "date")


class Commands:
    """Command lines of `mfbench` on fakes and small files, all in one folder."""

    def __init__(self, folder: Path, pause_s: float = 0.02) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.log = folder / "steps.log"
        self.log.touch()
        self.preset = folder / "mine.yml"
        plan = {"task": "fake_task", "arms": ["fake_steps", "fake_mean"], "budget": {"atom_gradients": 1000}}
        plan["regimes"] = {"n_low": [10], "n_high": [9], "coverage": ["full"]}
        plan["arm_settings"] = {"fake_steps": {"pause_s": pause_s}}
        plan["seeds"] = [0, 1, 2]
        self.preset.write_text(json.dumps({"name": "mine", "tasks": [plan]}))
        self.runs = folder / "runs"

    def run(self, *more: object) -> list[object]:
        return ["run", self.preset, "--out", self.runs, "--workers", 1, *more]

    @property
    def environment(self) -> dict[str, str]:
        more = {"PYTHONPATH": os.pathsep.join([str(PLUGIN), str(ROOT)]), "OMP_NUM_THREADS": "1", "COLUMNS": "200"}
        return os.environ | more | {"MFBENCH_FAKE_LOG": str(self.log)}

    def start(self, words: Sequence[object], **options: object) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "mfbench.benchmarks.cli.main", *map(str, words)]
        return subprocess.Popen(
            command,
            env=self.environment,
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            **options,  # type: ignore[call-overload]
        )

    def call(self, words: Sequence[object], **options: object) -> tuple[int, str, str]:
        """Exit code, output, and errors."""
        with self.start(words, **options) as process:
            out, err = process.communicate(timeout=240)
        return process.returncode, out, err

    def killed(self, words: Sequence[object], after_s: float) -> bool:
        """Kill the command after some time; False if it has ended before."""
        with self.start(words, start_new_session=True) as process:
            try:
                process.communicate(timeout=after_s)
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL)
                process.communicate()
                _log.info("killed after %.1f s: %s", after_s, words[0])
                return True
        assert process.returncode == 0
        return False


def rows_of(root: Path) -> str:
    """All rows of a folder of runs, without times."""
    rows = RunStore(root).rows()
    rows = rows.drop(columns=list(TIMES)).sort_values(["run_key", "split", "metric"], ignore_index=True)
    return str(rows.to_json(double_precision=15))


def hidden(folder: Path) -> list[str]:
    """Names that no command should leave, but for the lock of a folder of runs."""
    marks = (".mfbench-", ".partial", ".lock", ".build-")
    found = [p for p in folder.rglob("*") if p.name.startswith(".") or any(mark in p.name for mark in marks)]
    return sorted(str(p.relative_to(folder)) for p in found if p.name not in (".lock", "steps.log.lock"))


def wait_for(what: object, seconds: float = 120) -> None:
    """Wait until a condition holds."""
    end = time.monotonic() + seconds
    while not what():  # type: ignore[operator]
        assert time.monotonic() < end
        time.sleep(0.02)


def user_files(folder: Path) -> Files:
    """Two files of a user's, and settings."""
    folder.mkdir(parents=True, exist_ok=True)
    return Files(folder)


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[Path]:
    """A file system of some size; the test is skipped where it cannot be mounted."""
    folder.mkdir(parents=True, exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("a file system cannot be mounted here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def resize(folder: Path, options: str) -> None:
    """Mount a small disk with other options."""
    subprocess.run(["mount", "-o", f"remount,{options}", str(folder)], check=True, capture_output=True)
