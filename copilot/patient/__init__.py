"""The patient behind the slide: one record, a survival curve from it, and simulated what-if timelines."""

from .record import Event, Patient, Value

__all__ = ["Event", "Patient", "Value"]
