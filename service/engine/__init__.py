"""Continuous batching of gradient iterations: the engine, its jobs, and whose turn it is."""
