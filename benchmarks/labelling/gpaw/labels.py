"""Compute labels with GPAW in processes of the Python that has it, and read what they wrote."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ase import Atoms
from ase.io import write

from mfbench.benchmarks.labelling.gpaw import worker
from mfbench.mfcore.errors import ConfigError, DataError
from mfbench.mfcore.files import replacing, whole_lines

LEVELS = worker.LEVELS
GEOMETRIES = "geometries.extxyz"
PYTHON_VARIABLE = "MFBENCH_GPAW_PYTHON"
_POLL_S = 1.0

Progress = Callable[[int, int, str], None]


def gpaw_python() -> str | None:
    """The Python that can import GPAW: $MFBENCH_GPAW_PYTHON, this one, or the system's; None if there is none."""
    given = os.environ.get(PYTHON_VARIABLE)
    if given is None and find_spec("gpaw") is not None:
        return sys.executable
    for python in [given] if given else ["/usr/bin/python3"]:
        try:
            found = subprocess.run([python, "-c", "import gpaw"], capture_output=True, check=False, env=_environment())
        except OSError:
            continue
        if found.returncode == 0:
            return python
    return None


def compute(
    frames: Sequence[Atoms],
    out: Path,
    levels: Sequence[str],
    workers: int = 1,
    limit: int | None = None,
    progress: Progress | None = None,
    known: Collection[tuple[str, str]] = (),
    settings: Mapping[str, Any] | None = None,
) -> Path:
    """Label frames; labels that stand in `out` already are kept.

    Parameters
    ----------
    frames
        With structure_id, `levels` ("pbe" or "pbe+r2scan"), and `k_points` where a frame has a grid of its own.
    out
        Folder of the geometries and of labels_K.jsonl, one file per worker.
    levels
        Some of `LEVELS`; r2SCAN needs PBE first, which is then computed and kept too.
    limit
        Compute at most about so many labels.
    progress
        Told (labels done, labels in all, what is being computed).
    known
        (structure_id, level) that need not be computed.
    settings
        In place of some of the worker's `SETTINGS`.

    Raises
    ------
    ConfigError
        If no Python with GPAW is found.
    DataError
        If a worker ends with an error, with what it said.
    """
    python = gpaw_python()
    if python is None:
        raise ConfigError(
            "no Python that has GPAW was found: on Debian, `apt-get install gpaw gpaw-data`; or name one in "
            f"${PYTHON_VARIABLE}."
        )
    out.mkdir(parents=True, exist_ok=True)
    chosen = []
    for atoms in frames:
        wanted = [level for level in str(atoms.info["levels"]).split("+") if level in levels]
        if any((str(atoms.info["structure_id"]), level) not in known for level in wanted):
            copy = Atoms(atoms.numbers, positions=atoms.positions, cell=atoms.cell, pbc=True)
            copy.info = {"structure_id": atoms.info["structure_id"], "levels": "+".join(wanted)}
            if "k_points" in atoms.info:
                copy.info["k_points"] = atoms.info["k_points"]
            chosen.append(copy)
    if not chosen:
        return out
    with replacing(out / GEOMETRIES) as fresh:
        write(fresh, chosen, format="extxyz")
    total = sum(len(atoms.info["levels"].split("+")) for atoms in chosen)
    command = [python, worker.__file__, str(out / GEOMETRIES)]
    command += ["--settings", json.dumps(dict(settings))] if settings else []
    share = [] if limit is None else ["--limit", str(-(-limit // workers))]
    with _processes(
        [
            [
                *command[:3],
                str(out / f"labels_{number}.jsonl"),
                *command[3:],
                "--start",
                str(number),
                "--every",
                str(workers),
                *share,
            ]
            for number in range(workers)
        ]
    ) as processes:
        while any(process.poll() is None for process in processes):
            if progress is not None:
                progress(min(len(read_labels(out)), total), total, f"GPAW on {workers} core(s)")
            time.sleep(_POLL_S)
        for process in processes:
            if process.returncode:
                said = process.stderr.read().strip().splitlines() if process.stderr else []
                raise DataError(
                    f"a GPAW process ended with exit code {process.returncode}: {said[-1] if said else 'no message'}",
                    file=out,
                    hint="Labels that were finished are kept; the same command goes on from there.",
                )
    if progress is not None:
        progress(min(len(read_labels(out)), total), total, "done")
    return out


@contextmanager
def _processes(commands: Sequence[Sequence[str]]) -> Iterator[list[subprocess.Popen[str]]]:
    """Processes of one thread each, ended when the block is left."""
    running = [
        subprocess.Popen(command, env=_environment(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        for command in commands
    ]
    try:
        yield running
    finally:
        for process in running:
            if process.poll() is None:
                process.terminate()
            process.communicate()


def _environment() -> dict[str, str]:
    # The paths of this Python's packages are not for another one.
    kept = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "PYTHONHOME")}
    return kept | {"OMP_NUM_THREADS": "1"}


def read_labels(folder: Path) -> dict[tuple[str, str], dict[str, Any]]:
    """Read the *.jsonl files of a folder: records by (structure_id, level); an unfinished last line is left out.

    Raises
    ------
    DataError
        If another line is not a record.
    """
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for path in sorted(folder.glob("*.jsonl")):
        for number, line in enumerate(whole_lines(path), start=1):
            try:
                record = json.loads(line)
                key = (str(record["structure_id"]), str(record["level"]))
            except (ValueError, KeyError, TypeError) as error:
                raise DataError(f"line {number} is not a label ({error}).", file=path) from error
            if key not in found or "error" in found[key]:
                found[key] = record
    return found
