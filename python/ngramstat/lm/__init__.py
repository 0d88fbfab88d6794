"""Transformers trained where data are short, to check what the text predicts; needs torch."""
