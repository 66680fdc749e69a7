"""What calls return: numpy arrays, PIL images, and what a notebook shows of them."""
