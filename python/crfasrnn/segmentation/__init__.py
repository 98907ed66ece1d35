"""A model applied to photographs."""
