"""Transformers trained on scarce data, to check the predicted exponents.

Training needs torch; `run`, `data`, `search`, `shape` and `sweep` can be imported without it.
"""
