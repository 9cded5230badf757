"""Slide models: a bag of tile features in, calibrated probabilities and the tiles they rest on out."""
