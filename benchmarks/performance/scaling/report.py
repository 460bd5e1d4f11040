"""Tables of growth, memory and roofline, computed from what is stored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from rich.table import Table

from mfbench.benchmarks.performance.scaling.fit import PowerLaw, power_law
from mfbench.benchmarks.performance.scaling.roofline import bound_s
from mfbench.benchmarks.performance.scaling.settings import LARGE, MOST_EXPONENT

_X = {
    "atoms": ("atoms", lambda p: p["n_atoms"]),
    "edges": ("edges per atom", lambda p: p["n_edges"] / p["n_atoms"]),
    "channels": ("channels", lambda p: p["channels"]),
    "lmax": ("harmonics, (lmax + 1)²", lambda p: (p["lmax"] + 1) ** 2),
}


class Size(NamedTuple):
    """One size along one axis, CPU seconds being the smallest over rounds."""

    point: Mapping[str, Any]
    x: float
    graph_s: float
    energy_forces_s: float
    system_s: float

    @property
    def total_s(self) -> float:
        """Graph, energies and forces."""
        return self.graph_s + self.energy_forces_s


def sizes(record: Mapping[str, Any], axis: str) -> list[Size]:
    """Summarise the rounds of an axis, small sizes first."""
    found = []
    for places in zip(*record["rounds"], strict=True):
        if places[0]["axis"] != axis:
            continue
        graph = min(p["graph_cpu_s"] for p in places)
        network = min(p["energy_forces_cpu_s"] for p in places)
        system = min(p["energy_forces_system_s"] for p in places)
        found.append(Size(places[0], float(_X[axis][1](places[0])), graph, network, system))
    return sorted(found, key=lambda size: size.x)


def exponents(record: Mapping[str, Any], axis: str, least: float = 0.0) -> PowerLaw | None:
    """Fit energies and forces with their graph against an axis, from some x on; None for fewer than two sizes."""
    chosen = [size for size in sizes(record, axis) if size.x >= least]
    if len(chosen) < 2:
        return None
    return power_law([size.x for size in chosen], [size.total_s for size in chosen])


def _law(law: PowerLaw | None) -> str:
    return "" if law is None else f"{law.exponent:.3f} ({law.low:.3f} to {law.high:.3f}, {law.n_points} sizes)"


def table_of(record: Mapping[str, Any], axis: str) -> Table:
    """Make the table of one axis, with the exponent of its power law."""
    law = exponents(record, axis)
    kept = ", freed memory kept" if record.get("memory_kept") else ""
    caption = f"graph + energy and forces grow with exponent {_law(law)}"
    if axis == "atoms":
        caption += f"; from {LARGE} atoms on {_law(exponents(record, axis, LARGE))}"
    table = Table(title=f"energy and forces against {_X[axis][0]}, CPU time, 1 thread{kept}", caption=caption)
    headings = (
        _X[axis][0],
        "atoms",
        "edges",
        "graph µs/atom",
        "energy and forces µs/atom",
        "of it system",
        "µs/edge",
        "calls/s",
    )
    for heading in headings:
        table.add_column(heading, justify="right")
    for size in sizes(record, axis):
        atoms, edges = size.point["n_atoms"], size.point["n_edges"]
        table.add_row(
            f"{size.x:.4g}" if size.x < 1e4 else f"{size.x:.0f}",
            str(atoms),
            str(edges),
            f"{1e6 * size.graph_s / atoms:.1f}",
            f"{1e6 * size.energy_forces_s / atoms:.1f}",
            f"{1e6 * size.system_s / atoms:.1f}",
            f"{1e6 * size.energy_forces_s / edges:.2f}",
            f"{1 / size.energy_forces_s:.3g}",
        )
    return table


def memory_table(memory: Sequence[Mapping[str, Any]]) -> Table:
    """Make the table of peak memory per atom."""
    table = Table(title="energy and forces: peak memory of a fresh process beyond network and batch")
    for heading in ("contender", "atoms", "MB", "kB/atom"):
        table.add_column(heading, justify="left" if heading == "contender" else "right")
    for entry in memory:
        if "bytes" in entry:
            size, each = f"{entry['bytes'] / 1e6:.0f}", f"{entry['bytes'] / entry['n_atoms'] / 1e3:.1f}"
        else:
            size, each = str(entry["reason"]), ""
        table.add_row(entry["contender"], str(entry["n_atoms"]), size, each)
    return table


def roofline_table(found: Mapping[str, Any]) -> Table:
    """Make the table of rates beside those of the machine."""
    best = {name: min(row["cpu_s"]) for name, row in found["rows"].items()}
    gemm_rate = found["rows"]["gemm"]["flops"] / best["gemm"]
    copy_rate = found["rows"]["copy"]["bytes"] / best["copy"]
    n = found["gemm_size"]
    table = Table(
        title=f"rates at one thread, {found['workload']}",
        caption=f"gemm: {n} x {n} float32; copy: {found['copy_bytes'] / 2**20:.0f} MiB, read and written; "
        "of the bound: time that the roofline of these two leaves, over the time taken (the library's product need not "
        "use the widest vectors, so more than 100 % can be)",
    )
    headings = ("what", "ms", "GFLOP", "MB", "GFLOP/s", "of gemm", "GB/s", "of copy", "of the bound")
    for heading in headings:
        table.add_column(heading, justify="left" if heading == "what" else "right", no_wrap=True)
    for name, row in found["rows"].items():
        time, flops, n_bytes = best[name], row["flops"], row["bytes"]
        table.add_row(
            name.replace("_", " "),
            f"{1e3 * time:.2f}",
            f"{flops / 1e9:.3f}" if flops else "",
            f"{n_bytes / 1e6:.1f}" if n_bytes else "",
            f"{flops / time / 1e9:.1f}" if flops else "",
            f"{100 * flops / time / gemm_rate:.0f} %" if flops else "",
            f"{n_bytes / time / 1e9:.1f}" if n_bytes else "",
            f"{100 * n_bytes / time / copy_rate:.0f} %" if n_bytes else "",
            f"{100 * bound_s(flops, n_bytes, gemm_rate, copy_rate) / time:.0f} %",
        )
    return table


def verdict(record: Mapping[str, Any]) -> tuple[bool | None, str]:
    """Say whether the time grows with the number of atoms no faster than it may; None without enough sizes."""
    law = exponents(record, "atoms", LARGE) or exponents(record, "atoms")
    if law is None:
        return None, "No verdict: it takes two numbers of atoms."
    passed = law.exponent <= MOST_EXPONENT
    return passed, (
        f"Exponent in the number of atoms: {_law(law)}, {'not above' if passed else 'ABOVE'} {MOST_EXPONENT:g}."
    )
