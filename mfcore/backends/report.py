"""The backends that this machine has, for people."""

from __future__ import annotations

from typing import get_args

import torch

from mfbench.mfcore.backends import select
from mfbench.mfcore.backends.cache import cache_directory
from mfbench.mfcore.backends.cpp.compile import compiler
from mfbench.mfcore.backends.names import Backend


def backend_report() -> dict[str, str]:
    """Backends by device, with the reasons for and against them, and the compiler. Makes no kernels."""
    report = {}
    devices = {"cpu": "the CPU"} | ({"cuda": "CUDA"} if torch.cuda.is_available() else {})
    forced = select.forced_backend()
    for device, label in devices.items():
        names = [name for name in select.PROVIDERS if select.provider(name).device == device]
        if forced == "reference" or forced in names:
            names = [name for name in names if name == forced]
        obstacles = {name: select.obstacle_of(name) for name in names}
        used = next((name for name, obstacle in obstacles.items() if obstacle is None), None)
        reasons = " ".join(f"{name}: {obstacle}" for name, obstacle in obstacles.items() if obstacle)
        if used is None:
            text = f"reference (plain torch). {reasons}"
        else:
            title = select.provider(used).title
            text = f"{used} ({title}) with radial tables, otherwise reference (plain torch). {reasons}"
        report[f"backend on {label}"] = text.strip()
        others = [name for name, obstacle in obstacles.items() if obstacle is None and name != used]
        if others:
            report[f"also on {label}"] = ", ".join(f"{name} ({select.provider(name).title})" for name in others)
    report[select.VARIABLE] = forced or f"not set (auto); one of {', '.join(get_args(Backend)[1:])} forces it"
    found = compiler()
    report["compiler"] = f"{found[0]}: {found[1]}" if found else "none"
    report["kernel cache"] = str(cache_directory())
    report["threads"] = str(torch.get_num_threads())
    return report
