"""Ctrl-C leaves what has finished, cancels the rest, and the same command goes on."""

from __future__ import annotations

import asyncio
import functools
import os
import signal
from pathlib import Path

import pytest
from distributed import Client
from filelock import FileLock

from mfbench.benchmarks.harness.executors.cluster.deaf import dask_setup
from mfbench.benchmarks.harness.store import RunStore
from tests.cluster.test_kill_grid import find_fakes
from tests.reliability.commands import Commands, rows_of, wait_for


def stopped(commands: Commands, words: list[object], log: Path) -> None:
    """Run a command until three steps were noted since, and press Ctrl-C; it ends as it does without Dask."""
    before = len(log.read_text().split())
    heard = functools.partial(signal.signal, signal.SIGINT, signal.SIG_DFL)  # a command in the background does not
    with commands.start(words, start_new_session=True, preexec_fn=heard) as process:
        wait_for(lambda: len(log.read_text().split()) >= before + 3)
        os.killpg(process.pid, signal.SIGINT)
        out, err = process.communicate(timeout=120)
    assert process.returncode == 128 + signal.SIGINT, out + err
    assert "error: stopped. What has finished is stored; the same command goes on from there." in err
    assert "Traceback" not in out + err


def goes_on(commands: Commands, words: list[object]) -> None:
    stored = RunStore(commands.runs).current_keys() if (commands.runs / "runs").exists() else []
    assert len(stored) < 6
    assert all(RunStore(commands.runs).load(key).status == "finished" for key in stored)
    code, _, err = commands.call(words)
    assert code == 0, err
    assert len(RunStore(commands.runs).current_keys()) == 6
    assert rows_of(commands.runs)


def test_a_worker_of_its_own_does_not_hear_it() -> None:
    heard = signal.getsignal(signal.SIGINT)
    try:
        asyncio.run(dask_setup(object()))
        os.kill(os.getpid(), signal.SIGINT)
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, heard)


def test_workers_of_its_own_end_with_the_command(tmp_path: Path) -> None:
    commands = Commands(tmp_path, pause_s=0.2)
    words = [*commands.run(), "--executor", "dask"]
    stopped(commands, words, commands.log)
    with FileLock(f"{commands.log}.lock", timeout=20):  # its worker has ended
        pass
    goes_on(commands, words)


@pytest.mark.parametrize("more", [[], ["--no-shared-folder"]])
def test_a_scheduler_that_stays_has_nothing_left_of_it(scheduler: str, tmp_path: Path, more: list[str]) -> None:
    commands = Commands(tmp_path, pause_s=0.2)
    words = [*commands.run(), "--executor", "dask", "--scheduler", scheduler, *more]
    with Client(scheduler, set_as_default=False) as client:
        client.run(find_fakes)
        log = Path(next(iter(client.run(os.environ.get, "MFBENCH_FAKE_LOG").values())))
        stopped(commands, words, log)
        wait_for(lambda: not any(client.processing().values()))
        assert client.run_on_scheduler(lambda dask_scheduler: list(dask_scheduler.tasks)) == []
        wait_for(lambda: len(client.scheduler_info(n_workers=-1)["workers"]) == 2)
        with FileLock(f"{log}.lock", timeout=60):  # nobody computes any longer
            pass
        client.run(find_fakes)  # also those that were started anew
    goes_on(commands, words)
