"""Two commands do not write to one place at once, and what a killed one has left is removed by the next."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from mfbench.mfcore.errors import ConfigError, StorageError
from mfbench.mfcore.files import replacing
from mfbench.mfcore.locks import only_one, only_writer_of

HOLD = "import sys, time; from pathlib import Path; from mfbench.mfcore.locks import only_writer_of as hold\n"
HOLD += "with hold(Path(sys.argv[1])):\n    print('held', flush=True); time.sleep(60)"


def test_another_process_is_refused_and_nothing_stays(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    with process, process.stdout:
        assert process.stdout.readline() == "held\n"
        with pytest.raises(ConfigError, match="another mfbench works on it"), only_writer_of(path):
            pytest.fail("two writers")
        process.kill()
    for _ in range(100):
        try:
            with only_writer_of(path):
                break
        except ConfigError:  # the system has not ended it yet
            time.sleep(0.05)
    assert list(tmp_path.iterdir()) == []


def test_left_temporary_files_of_this_name_alone_are_removed(tmp_path: Path) -> None:
    path, other = tmp_path / "r[1].html", tmp_path / "r1.html"
    left = [tmp_path / f".{name}.mfbench-abcd1234.html" for name in ("r[1]", "r1")]
    for file in (*left, other):
        file.write_text("x")
    with only_writer_of(path), replacing(path) as temporary:
        assert not left[0].exists()
        temporary.write_text("whole")
    assert sorted(tmp_path.iterdir()) == sorted([path, other, left[1]])


def test_a_folder_in_the_place_of_the_lock_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / ".lock").mkdir()
    with pytest.raises(StorageError, match=r"\.lock: a folder has this name"), only_one(tmp_path / ".lock", "taken"):
        pytest.fail("held")


def test_a_device_is_not_locked(tmp_path: Path) -> None:
    with only_writer_of(Path("/dev/null")):
        assert not Path("/dev/.null.lock").exists()
