"""What a server watches of itself: that its event loop turns, and that its device gets on."""
