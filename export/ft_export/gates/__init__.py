"""What is held against float32, and how near it has to be."""
