"""The faster copy of a network, which has to be the same function."""
