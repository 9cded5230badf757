"""Measures an encoder beside its baselines on groups that no training opened."""
