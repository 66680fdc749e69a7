"""Who may do what: the keys and certificates of the server, and those of its callers."""
