"""SIGTERM and SIGHUP end a command as Ctrl-C does."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from filelock import FileLock
from typer.testing import CliRunner

from mfbench.benchmarks.cli.main import app
from mfbench.benchmarks.cli.signals import Stopped, stopping
from mfbench.benchmarks.harness.store import RunStore
from tests.reliability.commands import Commands, rows_of, wait_for


@pytest.mark.parametrize(
    ("number", "group"),
    [
        (signal.SIGTERM, True),
        *(
            pytest.param(number, group, marks=pytest.mark.slow)
            for number, group in ((signal.SIGTERM, False), (signal.SIGHUP, True), (signal.SIGINT, True))
        ),
    ],
)
def test_a_signal_ends_the_command_with_a_message_and_it_goes_on(
    tmp_path: Path, number: signal.Signals, group: bool
) -> None:
    commands = Commands(tmp_path, pause_s=0.2)
    with commands.start(commands.run(), start_new_session=True) as process:
        wait_for(lambda: len(commands.log.read_text().split()) >= 3)
        (os.killpg if group else os.kill)(process.pid, number)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 128 + number
    by = "" if number is signal.SIGINT else f" by {number.name}"
    assert f"error: stopped{by}. What has finished is stored" in err
    assert "Traceback" not in out + err
    with FileLock(f"{commands.log}.lock", timeout=20):  # its worker has ended, too
        pass
    before = RunStore(commands.runs).current_keys()
    assert len(before) < 6
    assert all(RunStore(commands.runs).load(key).status == "finished" for key in before)
    code, _, err = commands.call(commands.run())
    assert code == 0, err
    assert len(RunStore(commands.runs).current_keys()) == 6
    assert rows_of(commands.runs)


@pytest.mark.parametrize(
    ("words", "goes_on"),
    [
        (["data", "inspect", "a.xyz"], False),
        (["plan", "quick"], False),
        (["run", "quick"], True),
        (["fit", "--arm", "transfer", "--high", "a.xyz", "--out", "b"], True),
    ],
)
def test_only_commands_that_go_on_say_so(words: list[str], goes_on: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("typer.core.TyperCommand.invoke", stop)
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 128 + signal.SIGINT
    assert ("the same command goes on" in result.stderr) == goes_on


def test_a_signal_is_raised_once_and_handlers_are_put_back() -> None:
    with pytest.raises(Stopped) as caught, stopping():
        signal.raise_signal(signal.SIGTERM)
    assert caught.value.number is signal.SIGTERM
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_what_is_ignored_stays_ignored() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with stopping():
            os.kill(os.getpid(), signal.SIGHUP)
            assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
