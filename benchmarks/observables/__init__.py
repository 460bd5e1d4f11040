"""Observables: properties that fitted potentials are measured on, each with its plan, rows, tables and figures."""
