"""One attack run and its relatives: from a request to counted results."""
