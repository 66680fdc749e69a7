"""Commands about what fools a network."""
