"""Memory that goes back to the operating system."""

import ctypes


def give_back() -> None:
    """Return freed pages to the operating system, which glibc else keeps; without effect where the
    C library is another. Other threads go on meanwhile.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
