"""`ft-bench`: what a bundle costs on this machine, and how far that is from its limits."""
