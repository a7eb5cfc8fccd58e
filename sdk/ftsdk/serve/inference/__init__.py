"""The Open Inference Protocol, version 2, over the same service as the API of its own."""
