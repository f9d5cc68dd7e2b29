"""Rules that turn rows into verdicts, and the style of their pictures."""
