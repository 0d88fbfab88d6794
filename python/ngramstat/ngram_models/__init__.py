"""Language models made of n-gram counts: trained, saved, scored, sampled and exchanged."""
