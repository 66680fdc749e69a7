"""Models: known names, their weights, and what is in memory."""
