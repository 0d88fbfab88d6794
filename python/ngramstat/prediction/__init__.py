"""alpha = gamma / (2 beta), its conditions, and what follows: horizons, losses, collapse."""
