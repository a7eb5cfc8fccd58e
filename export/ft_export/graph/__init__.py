"""ONNX graphs: written from torch, read, and watched while they run."""
