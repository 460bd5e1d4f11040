"""Writing figures: three formats, each with its origin as metadata, the same bytes for the same rows."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mfbench.mfcore.files import replacing

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from pandas import DataFrame

FORMATS = ("pdf", "svg", "png")


def metadata(title: str, rows: DataFrame, command: str, data_hashes: Mapping[str, str]) -> dict[str, str]:
    """Say what a figure is drawn from, and what makes it again."""
    keys = sorted({str(key) for key in rows["run_key"]})
    digest = hashlib.sha256("\n".join(keys).encode()).hexdigest()
    try:
        made_by = f"mfbench {version('mfbench')}"
    except PackageNotFoundError:
        made_by = "mfbench"
    computed = ", ".join(sorted({str(v) for v in rows["mfbench_version"]})) if "mfbench_version" in rows else "unknown"
    data = "".join(f"; data {file} sha256 {value}" for file, value in sorted(data_hashes.items()))
    return {
        "Title": title,
        "Creator": made_by,
        "Description": (
            f"{len(keys)} runs, sha256 of their sorted keys {digest}{data}; computed by mfbench {computed}; "
            f"drawn by: {command}"
        ),
    }


def save(figure: Figure, stem: Path, formats: Sequence[str], fields: Mapping[str, str], dpi: int) -> list[Path]:
    """Write a figure in each format; call it while the settings hold that it was drawn with."""
    written = []
    for kind in formats:
        entries: dict[str, Any] = dict(fields)
        if kind == "pdf":
            entries["Subject"] = entries.pop("Description")
            entries["CreationDate"] = None
        elif kind == "svg":
            entries["Date"] = None
        else:
            entries["Software"] = entries.pop("Creator")
        path = stem.with_name(f"{stem.name}.{kind}")
        drawn = io.BytesIO()  # a full disk would leave matplotlib's writer of PDF with an AttributeError of its own
        figure.savefig(drawn, format=kind, dpi=dpi, metadata=entries)
        with replacing(path) as temporary:
            temporary.write_bytes(drawn.getbuffer())
        written.append(path)
    return written
