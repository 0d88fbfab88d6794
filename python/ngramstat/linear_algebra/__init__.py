"""Leading singular triplets of matrices that are known only by their products with vectors."""
