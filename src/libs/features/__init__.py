"""Features of articles, and the model that ranks by them: numpy, pandas and scikit-learn."""
