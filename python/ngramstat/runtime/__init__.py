"""Foundations of the package: files, threads and memory, progress, GPUs, temporary arrays."""
