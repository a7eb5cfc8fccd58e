"""Many machines for one batch: workers on a Ray cluster, each with a bundle of its own."""
