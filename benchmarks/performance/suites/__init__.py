"""Suites of pytest-benchmark: what is followed over versions, each as a ratio to a matrix product of the same run."""
