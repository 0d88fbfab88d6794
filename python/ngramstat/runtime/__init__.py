"""What every part stands on: files, threads and memory, progress, GPUs, temporary arrays."""
