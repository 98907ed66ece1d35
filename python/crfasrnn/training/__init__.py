"""Training by recipe: `crfasrnn train`."""
