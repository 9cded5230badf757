"""Slide models: a bag of tile features in, calibrated probabilities and the tiles they rest on out."""

from .score import LoadedSlideModel, SlideScore, TaskScore, load_slide_model

__all__ = ["LoadedSlideModel", "SlideScore", "TaskScore", "load_slide_model"]
