"""Files on disk: replaced whole or not at all, folders too, and tables written into documents."""
