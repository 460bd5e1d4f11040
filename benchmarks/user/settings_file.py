"""Settings of arms from a YAML file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mfbench.mfcore.documents import read_yaml
from mfbench.mfcore.errors import ConfigError


def read_settings(path: Path | None) -> dict[str, Any]:
    """Read the settings of an arm from a YAML file; no file, no settings.

    Raises
    ------
    ConfigError
        If the file cannot be read or is no mapping.
    """
    if path is None:
        return {}
    content = read_yaml(path)
    if not isinstance(content, dict):
        raise ConfigError(f"{path}: expected settings by key, such as 'core: {{cutoff: 5.0}}'.")
    return content


@contextmanager
def settings_from(path: Path | None) -> Iterator[None]:
    """Name the file in errors of settings that were read from it; without a file they stay as they are.

    Raises
    ------
    ConfigError
        In place of one that does not name it.
    """
    try:
        yield
    except ConfigError as error:
        if path is None:
            raise
        raise ConfigError(f"{path}: {error}") from error
