"""Sorted suffixes of a corpus in a file, and queries of them."""
