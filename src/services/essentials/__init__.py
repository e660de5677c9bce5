"""A service of many libraries: one HTTP route for each, so that an image shows that it holds them all."""
