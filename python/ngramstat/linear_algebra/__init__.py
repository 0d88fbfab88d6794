"""Leading singular triplets of matrices that are known by their products alone."""
