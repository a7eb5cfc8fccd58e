"""What a GPU does with ftsdk: `python -m benchmarks.gpu.check` runs every check."""
