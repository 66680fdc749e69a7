"""Programs that read trusted files; the sandbox alone starts them, and nothing imports them."""
