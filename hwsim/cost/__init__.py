"""Cycles, stalls and energy of a Program, composed from the units."""
