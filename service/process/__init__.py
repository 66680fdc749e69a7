"""What a server is given by the process it runs in: its memory, and the packages beside it."""
