"""A net: its definition, its nodes, their weights, and running it."""
