"""`mfbench info`: what this installation computes with."""

from __future__ import annotations

import typer


def register(app: typer.Typer) -> None:
    """Add this command."""
    app.command("info", epilog="Example: mfbench info")(info)


def info() -> None:
    """Print versions, devices and convolution kernels: what a bug report should contain."""
    import os
    import platform

    import torch
    from rich.console import Console
    from rich.table import Table

    from mfbench.benchmarks.harness.execute import versions
    from mfbench.mfcore.backends.report import backend_report
    from mfbench.mfcore.cores.fused_products import report as kernels_of_peers
    from mfbench.mfcore.memory import memory_report

    table = Table("what", "found", box=None)
    table.add_row("python", f"{platform.python_version()} on {platform.platform()}")
    for package, version in versions().items():
        table.add_row(package, version)
    table.add_row("CPU cores", str(os.cpu_count()))
    table.add_row("torch threads", str(torch.get_num_threads()))
    waiting = [f"{name}={os.environ[name]}" for name in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT") if name in os.environ]
    table.add_row("waiting threads", ", ".join(waiting) or "as the OpenMP runtime has it")
    table.add_row("freed memory", memory_report())
    names = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    table.add_row("GPUs", ", ".join(names) or "none")
    for key, value in backend_report().items():
        table.add_row(f"convolution: {key}", str(value))
    table.add_row("sevennet, mace, nequip", kernels_of_peers())
    Console().print(table)
