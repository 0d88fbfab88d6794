"""Reading text: what a file is, its compression, and one reader for each kind.

`ngramstat.corpus.sources` puts these modules together.
"""
