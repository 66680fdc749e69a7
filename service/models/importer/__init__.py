"""`striate-server import`: files in which networks are kept, made into bundles."""
