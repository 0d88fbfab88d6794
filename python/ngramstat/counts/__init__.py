"""The counts of a corpus as tables: co-occurring tokens, and n-grams with what surrounds them."""
