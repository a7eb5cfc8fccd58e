"""What stands in for hardware and services that a test machine lacks."""
