"""Every attack of the libraries that takes images, found by looking, how to call it, its fate."""
