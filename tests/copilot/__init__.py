"""Laws and journeys of this floor."""
