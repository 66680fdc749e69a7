"""A user's factory tried in a process of its own, before it is called in the server's."""
