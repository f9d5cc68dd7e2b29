"""Data sets: what is known, where it is found, how it is read."""
