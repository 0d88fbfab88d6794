"""Corpora of document shards that no single machine holds: rounds of sums over them.

Every shard is counted where it lies, counts are added up, singular vectors go out to all shards,
and sums over documents come back (docs/scale.md). The results are those of `measure` on the shards
as one corpus.
"""
