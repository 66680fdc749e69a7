"""Square: the search, and the changes that it tries (Andriushchenko et al. 2020)."""

from interp.attack.square.search import square, square_ascent, square_search

__all__ = ["square", "square_ascent", "square_search"]
