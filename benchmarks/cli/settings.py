"""Settings of arms from a YAML file."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def read_settings(path: Path | None) -> dict[str, Any]:
    """Read the settings of an arm from a YAML file; no file, no settings.

    Raises
    ------
    ConfigError
        If the file cannot be read or is no mapping.
    """
    import yaml

    from mfbench.mfcore.errors import ConfigError

    if path is None:
        return {}
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise ConfigError(f"{path}: cannot be read as YAML: {error}") from error
    if not isinstance(content, dict):
        raise ConfigError(f"{path}: expected settings by key, such as 'core: {{cutoff: 5.0}}'.")
    return content
