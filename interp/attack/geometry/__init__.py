"""Geometry of balls and planes within the box of images, which knows nothing of attacks."""
