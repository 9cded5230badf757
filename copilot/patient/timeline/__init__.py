"""Simulated timelines: a small language model over the events of a stay, for what-if questions."""
