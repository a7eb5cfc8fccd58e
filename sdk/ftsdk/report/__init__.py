"""The report file: one HTML document that shows everything without a network."""
