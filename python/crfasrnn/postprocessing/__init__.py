"""Dense CRFs behind any model's probabilities, and the search for their settings."""
