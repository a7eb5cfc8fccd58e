"""The bundle's directory: how it comes to be."""
