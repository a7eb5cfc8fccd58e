"""Inference runtimes behind one contract."""
