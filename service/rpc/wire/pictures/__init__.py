"""Between the messages about pictures of units and their values."""
