"""What is found out about a module when it is loaded, by passes of one and of three images."""
