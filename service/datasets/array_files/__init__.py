"""Arrays of images and labels, in files of NumPy and torch."""
