"""Loaded by workers of a command when they start: Ctrl-C is for the command, which then ends them."""

from __future__ import annotations

import signal


async def dask_setup(worker: object) -> None:
    """Let a worker not hear Ctrl-C, which a terminal sends to all processes of a command."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
