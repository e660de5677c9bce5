"""Features of articles, and the model that ranks articles by them: numpy, pandas and scikit-learn."""
