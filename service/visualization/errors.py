"""Why pictures cannot be made as they were asked for."""


class UnfitObjective(ValueError):
    """A composed objective does not fit the network, which only running it shows."""
