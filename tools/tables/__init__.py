"""Tables of the documentation that are written from the program, its cards and its measurements."""
