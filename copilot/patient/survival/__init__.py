"""Survival curves from a patient's record: one small tower a modality, hazards, a band, words that must agree."""
