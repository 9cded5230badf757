"""The engine: ask, look, say, check, show; report, ancillary tests, triage, command line."""
