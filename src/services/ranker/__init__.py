"""A service with a model: numpy, pandas and scikit-learn, all through a shared library."""
