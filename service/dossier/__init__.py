"""One unit on one page."""
