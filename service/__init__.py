"""How it is hosted: the engine, the zoo, the handlers, the operations."""
