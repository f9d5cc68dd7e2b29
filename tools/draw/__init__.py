"""Draws the pictures of docs/rtl.md: ``make drawings``."""
