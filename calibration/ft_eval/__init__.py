"""How good a bundle's answers are, on pictures whose truth is known."""
