"""Which rows a study wants, and the functions that compute them."""
