"""Laws and journeys."""
