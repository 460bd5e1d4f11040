"""Tables of the comparison, computed from the stored rounds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from rich.table import Table

from mfbench.benchmarks.performance.contenders.registry import CONTENDERS, CORE
from mfbench.benchmarks.performance.harness.rounds import Ratio, ratio_of
from mfbench.benchmarks.performance.speed.settings import QUANTITIES

_TITLES = {"energy_forces": "energy and forces", "training_step": "training step"}


@dataclass(frozen=True)
class Row:
    """One contender in one session at one thread count.

    Attributes
    ----------
    smallest_us, median_us
        µs per atom by quantity, over rounds; CPU time at one thread, wall time at several.
    speed_up
        By quantity, how many times faster than the fastest equivariant peer; None without a peer.
    memory_kb
        Peak memory beyond the network and the batch, kB per atom, by quantity; None if it was not measured.
    """

    contender: str
    label: str
    n_parameters: int
    smallest_us: dict[str, float]
    median_us: dict[str, float]
    speed_up: dict[str, Ratio | None]
    memory_kb: dict[str, float] | None


def times_of(record: Mapping[str, Any], threads: int, contender: str, what: str, clock: str) -> list[float]:
    """Seconds per call of each stored round, "cpu_s" or "wall_s"."""
    rounds = [r[str(threads)] for r in record["rounds"]]
    return [r[contender][what][clock] for r in rounds if contender in r]


def clock_of(threads: int) -> str:
    """The time that counts: CPU time cannot be stretched by others, but hides what a second thread brings."""
    return "cpu_s" if threads == 1 else "wall_s"


def fastest_peer(record: Mapping[str, Any], threads: int, what: str) -> str | None:
    """Return the equivariant peer with the smallest time."""
    times = {
        name: min(found)
        for name in record["session"]["contenders"]
        if name != CORE
        and CONTENDERS[name].equivariant
        and (found := times_of(record, threads, name, what, clock_of(threads)))
    }
    return min(times, key=times.__getitem__, default=None)


def _speed_up(record: Mapping[str, Any], threads: int, name: str, what: str) -> Ratio | None:
    peer = fastest_peer(record, threads, what)
    if peer is None:
        return None
    both = [r[str(threads)] for r in record["rounds"] if {peer, name} <= set(r[str(threads)])]
    times = [[one[who][what][clock_of(threads)] for one in both] for who in (peer, name)]
    return ratio_of(*times) if both else None


def rows_of(record: Mapping[str, Any], threads: int) -> list[Row]:
    """Summarise a session at one thread count, one row for each contender that has been timed."""
    rows = []
    for name in record["session"]["contenders"]:
        about = record["contenders"].get(name, {})
        times = {what: times_of(record, threads, name, what, clock_of(threads)) for what in QUANTITIES}
        if not all(times.values()):
            continue
        unit = 1e6 / record["n_atoms"]
        peak = about.get("peak_memory_bytes", {})
        measured = all(what in peak for what in QUANTITIES)
        rows.append(
            Row(
                contender=name,
                label=CONTENDERS[name].label,
                n_parameters=about["n_parameters"],
                smallest_us={what: min(times[what]) * unit for what in QUANTITIES},
                median_us={what: float(np.median(times[what])) * unit for what in QUANTITIES},
                speed_up={what: _speed_up(record, threads, name, what) for what in QUANTITIES},
                memory_kb={what: peak[what] / record["n_atoms"] / 1e3 for what in QUANTITIES} if measured else None,
            )
        )
    return rows


def table_of(record: Mapping[str, Any], threads: int) -> Table:
    """Make the table of a session at one thread count."""
    session, network = record["session"], record["network"]
    clock = "CPU" if threads == 1 else "wall"
    peers = [fastest_peer(record, threads, what) for what in QUANTITIES]
    against = " / ".join(dict.fromkeys(CONTENDERS[p].label if p else "none" for p in peers))
    counts = f"{record['n_frames']} frames, {record['n_atoms']} atoms, {record['n_edges']} edges"
    shape = f"{network['n_layers']} layers, lmax {network['lmax']}, {network['channels']} channels"
    how = f"{threads} thread{'s' if threads > 1 else ''} ({session['device']}), {len(record['rounds'])} rounds"
    table = Table(
        title=f"{session['workload']}: {counts}; {shape}; {how}",
        caption=f"{clock} time, smallest and median over rounds; x: times as fast as the fastest equivariant peer "
        f"({against}), median (range) over rounds; kB/atom: peak memory beyond network and batch",
    )
    table.add_column("contender", no_wrap=True)
    table.add_column("parameters", justify="right")
    for what in QUANTITIES:
        for heading in ("µs/atom", "median", "x", "kB/atom"):
            table.add_column(f"{_TITLES[what]}\n{heading}", justify="right", no_wrap=heading == "x")
    for row in rows_of(record, threads):
        cells = [row.label, str(row.n_parameters)]
        for what in QUANTITIES:
            up = row.speed_up[what]
            cells += [
                f"{row.smallest_us[what]:.1f}",
                f"{row.median_us[what]:.1f}",
                "" if up is None else f"{up[0]:.2f} ({up[1]:.2f}–{up[2]:.2f})",
                "" if row.memory_kb is None else f"{row.memory_kb[what]:.0f}",
            ]
        table.add_row(*cells)
    return table


def summary_of(records: Sequence[Mapping[str, Any]]) -> Table:
    """Make the table of the core alone: times as fast as the fastest equivariant peer, by workload and threads."""
    table = Table(title="mfcore: times as fast as the fastest equivariant peer, median (range) over rounds")
    for heading in ("workload", "network", "threads", *[_TITLES[what] for what in QUANTITIES], "peer"):
        table.add_column(
            heading, justify="right" if heading in ("threads", *_TITLES.values()) else "left", no_wrap=True
        )
    for record in records:
        for threads in record["session"]["threads"]:
            core = next((row for row in rows_of(record, threads) if row.contender == CORE), None)
            if core is None or None in core.speed_up.values():
                continue
            cells = [f"{up[0]:.1f} ({up[1]:.1f}–{up[2]:.1f})" for up in core.speed_up.values() if up is not None]
            peers = dict.fromkeys(str(fastest_peer(record, threads, what)) for what in QUANTITIES)
            labels = " / ".join(CONTENDERS[name].label for name in peers)
            table.add_row(record["session"]["workload"], record["session"]["variant"], str(threads), *cells, labels)
    return table


def remarks_of(records: Sequence[Mapping[str, Any]]) -> list[str]:
    """Say what failed, and with which versions and machine the rest was measured."""
    said: dict[str, None] = {}
    for record in records:
        for name, about in record["contenders"].items():
            if about.get("status") != "ok":
                said[f"failed: {CONTENDERS[name].label}, {record['session']['workload']}: {about.get('reason')}"] = None
            memory = about.get("peak_memory_bytes", {})
            if "reason" in memory:
                said[f"no memory: {CONTENDERS[name].label}, {record['session']['workload']}: {memory['reason']}"] = None
    found: dict[str, str] = {}
    for record in records:
        for about in record["contenders"].values():
            found.update(about.get("versions", {}))
    machines = dict.fromkeys(
        f"{record['machine']['processor']}, {record['machine']['cores']} cores, Python {record['machine']['python']}"
        for record in records
    )
    return [*said, *machines, ", ".join(f"{name} {number}" for name, number in sorted(found.items()))]
