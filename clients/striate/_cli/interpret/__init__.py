"""Commands about what the units of a network see."""
