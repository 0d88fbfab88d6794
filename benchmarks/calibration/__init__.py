"""Bias, error and coverage of every estimate, measured on worlds whose exact values are known."""
