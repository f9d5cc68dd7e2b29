"""A Program on disk: memory images and manifest, written and verified."""
