"""Measurements of this repository: each module is a command, `python -m benchmarks.NAME --help`."""
