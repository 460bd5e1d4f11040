"""Regression tracking: stored runs and speed against a tracked baseline, with thresholds from its seed spread."""
