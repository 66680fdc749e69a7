"""What a request passes before its handler: how many are in flight, how large it is, what it is."""
