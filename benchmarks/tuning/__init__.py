"""Tuning of the arms' settings: equal trials for every arm, selected on HF validation frames."""
