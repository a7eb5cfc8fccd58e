"""Lower precision of a bundle's graphs."""
