"""Other theories of how loss falls with data, on the same corpus as alpha = gamma / (2 beta)."""
