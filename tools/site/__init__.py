"""The documentation site: what `make docs` adds to the Markdown of docs/."""
