"""Other theories of how the loss falls with data, for comparison with alpha = gamma / (2 beta)."""
