"""The function of matbench_discovery that scores, imported without what the import does to the process."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mfbench.mfcore.errors import ConfigError

Published = Callable[..., dict[str, Any]]
"""`stable_metrics` of matbench_discovery."""


def stable_metrics() -> tuple[Published, str]:
    """Give matbench_discovery's `stable_metrics`, and its name with the version.

    The import makes folders beside the package and sets defaults of matplotlib and plotly; the latter are put back.

    Raises
    ------
    ConfigError
        If the package is not installed, or cannot be imported.
    """
    import warnings
    from importlib.metadata import PackageNotFoundError, version

    try:
        found = version("matbench-discovery")
    except PackageNotFoundError:
        raise ConfigError(
            "scores are those of the package matbench-discovery, which is not installed: "
            "pip install 'mfbench[discovery]'."
        ) from None
    import matplotlib as mpl
    import plotly.io as pio

    template = pio.templates.default
    try:
        with warnings.catch_warnings(), mpl.rc_context():
            warnings.simplefilter("ignore")
            import plotly.express as px

            style = px.defaults.template
            from matbench_discovery.metrics import stable_metrics as function

            px.defaults.template = style
    except Exception as error:  # whatever its dependencies meet
        reason = " ".join(str(error).split())[:160]
        raise ConfigError(
            f"matbench-discovery {found} cannot be imported ({type(error).__name__}: {reason})."
        ) from error
    finally:
        pio.templates.default = template
    return function, f"stable_metrics of matbench_discovery {found}"
