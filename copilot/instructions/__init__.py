"""Instruction data from the copilot's side: pictures looked at, facts put, answers checked."""
