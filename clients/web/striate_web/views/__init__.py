"""What several pages show: layers, pictures and their worth, plots, data sets."""
