"""Bias, error and coverage of every estimate, measured on worlds of known answer."""
