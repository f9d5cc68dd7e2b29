"""Computes the rows that a store does not have, wherever there is a processor."""
