"""Nano beside detectors that need no weights: what classic forensics finds in the same pictures."""
