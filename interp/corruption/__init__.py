"""Common corruptions and everyday changes of images."""
