"""The methods that make pictures of units."""
