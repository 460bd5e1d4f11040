"""`mfbench info`: what this installation computes with, as a bug report needs it."""

from __future__ import annotations

import re
from collections.abc import Iterator

import typer

_DISTRIBUTION = "mfbench"


def register(app: typer.Typer) -> None:
    """Add this command."""
    app.command("info", epilog="Example: mfbench info > info.txt")(info)


def info() -> None:
    """Print versions, machine, devices and convolution kernels, a fact a line: paste them into a bug report.

    Folders below your home directory begin with `~`, and nothing but variables of mfbench and of threads is read from
    the environment.
    """
    from mfbench.benchmarks.cli.output import say

    facts = [*_facts()]
    width = max(len(name) for name, _ in facts)
    for name, value in facts:
        say(f"{name:<{width}}  {_without_home(value)}")


def _facts() -> Iterator[tuple[str, str]]:
    import os
    import platform

    import torch

    from mfbench.mfcore.backends.report import backend_report
    from mfbench.mfcore.cores.fused_products import report as kernels_of_peers
    from mfbench.mfcore.memory import memory_report

    needed, extras = requirements()
    yield _DISTRIBUTION, _version(_DISTRIBUTION)
    yield "python", f"{platform.python_version()} ({platform.python_implementation()})"
    yield "platform", platform.platform()
    yield from ((package, _version(package)) for package in needed)
    for extra, packages in sorted(extras.items()):
        missing = [package for package in packages if _version(package) == _MISSING]
        yield f"extra {extra}", f"lacks {', '.join(missing)}" if missing else "installed"
    yield "CPU", f"{_cpu()}, {os.cpu_count()} cores"
    yield "torch threads", str(torch.get_num_threads())
    names = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    yield "GPUs", ", ".join(names) or "none"
    yield "CUDA of torch", str(torch.version.cuda or "none")
    yield "freed memory", memory_report()
    for key, value in backend_report().items():
        yield f"convolution: {key}", str(value)
    yield "sevennet, mace, nequip", kernels_of_peers()
    threads = ("OMP_NUM_THREADS", "OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "CUDA_VISIBLE_DEVICES")
    given = sorted(name for name in os.environ if name.startswith("MFBENCH_") or name in threads)
    yield "environment", ", ".join(f"{name}={os.environ[name]}" for name in given) or "nothing of mfbench or threads"


_MISSING = "not installed"


def _version(package: str) -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(package)
    except PackageNotFoundError:
        return _MISSING


def requirements() -> tuple[list[str], dict[str, list[str]]]:
    """Return the packages that mfbench needs, and those of each extra."""
    from importlib.metadata import PackageNotFoundError, requires

    needed: list[str] = []
    extras: dict[str, list[str]] = {}
    try:
        lines = requires(_DISTRIBUTION) or []
    except PackageNotFoundError:  # a clone that is not installed
        lines = []
    for line in lines:
        package = re.split(r"[^\w.-]", line, maxsplit=1)[0]
        extra = re.search(r"extra == ['\"]([\w-]+)", line)
        (extras.setdefault(extra[1], []) if extra else needed).append(package)
    return needed, extras


def _cpu() -> str:
    import platform
    from pathlib import Path

    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, "") or platform.processor() or platform.machine()


def _without_home(text: str) -> str:
    from pathlib import Path

    home = str(Path.home())
    return text if home == Path(home).root else re.sub(rf"{re.escape(home)}(?![\w.-])", "~", text)
