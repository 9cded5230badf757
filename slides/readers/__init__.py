"""One reader a file kind; each gives sizes, a stated scale and RGB pixels of a stored level, nothing else."""
