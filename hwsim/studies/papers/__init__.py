"""One figure or table of the papers a file."""
