"""Molecular dynamics of many replicas in one batch, and when a replica counts as failed.

Units throughout: positions Å, energies eV, forces eV/Å, masses amu, temperatures K, times fs or ps as a name says.
Velocities are in ASE's unit, Å per (Å √(amu/eV)); `ase.units.fs` converts.
"""
