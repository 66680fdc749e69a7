"""Networks that others keep, by `PREFIX:REST`: a module a source."""
