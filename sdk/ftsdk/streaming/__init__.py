"""Many frames: sources, bounded queues, followed faces, reports where something changed."""
