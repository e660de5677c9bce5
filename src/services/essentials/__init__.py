"""A service with many libraries: one HTTP route for each, so that a test shows that the image contains them all."""
