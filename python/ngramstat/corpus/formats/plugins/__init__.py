"""Readers that are registered by entry points, as those of other packages are.

Each module defines a ``FORMAT`` that an entry point of the group ``ngramstat.readers`` names in
pyproject.toml. They are used like the readers of `ngramstat.corpus.formats` and serve as examples.
"""
