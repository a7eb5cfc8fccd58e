"""The stages as torch modules; each names its inputs and outputs in `inputs` and `outputs`."""
