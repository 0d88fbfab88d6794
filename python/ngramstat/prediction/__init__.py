"""alpha = gamma / (2 beta), its conditions, and its consequences: horizons, losses, collapse."""
