"""Programs that print figures. None asserts a time; `python -m benchmarks` runs them all."""
