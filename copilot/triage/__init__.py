"""Triage: a ranked worklist; nothing is released without a certificate."""
