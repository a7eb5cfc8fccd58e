"""The commands; each module is one of them."""
