"""Fitted potentials in programs that are not ours: torch-sim, LAMMPS, and graphs of torch.export."""
