"""What the copilot is measured by: suites of questions, each scored beside its baselines with intervals over groups."""
