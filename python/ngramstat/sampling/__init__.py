"""The sampling design: documents, folds, bootstrap clusters and held-out splits of a corpus."""
