"""From integer counts to C(t) and H(n) with their errors."""
