"""TensorRT engines of a bundle, built for a named GPU."""
