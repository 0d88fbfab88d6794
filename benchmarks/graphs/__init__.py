"""Learning curves, and refused exponents, of walks on graphs and of n-gram languages."""
