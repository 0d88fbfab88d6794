"""H(n), the entropy of the next token given n: from counts below, from held-out losses above."""
