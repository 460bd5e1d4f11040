"""Of two commands that write to one place, the second is refused, and nothing of it stays."""

from __future__ import annotations

from pathlib import Path

import mfbench
from tests.reliability.commands import Commands, hidden, user_files, wait_for


def test_two_fits_at_once(tmp_path: Path) -> None:
    commands = Commands(tmp_path / "here")
    files = user_files(tmp_path / "user")
    words = [*files.fit()[:-1], 40_000]
    lock = files.out.with_name(".model.lock")
    with commands.start(words) as first:
        wait_for(lock.exists)
        code, out, err = commands.call(words)
        assert code == 2
        assert f"error: {files.out}: another mfbench works on it" in err
        assert "Traceback" not in out + err
        _, err = first.communicate(timeout=120)
    assert first.returncode == 0, err
    assert mfbench.load(files.out).arm == "multi_fidelity"
    assert hidden(tmp_path / "user") == []
    assert files.before.keys() == {p for p in files.out.parent.iterdir() if p.is_file()}
    code, _, err = commands.call(words)
    assert (code, hidden(tmp_path / "user")) == (2, [])
    assert "exists already" in err
