"""Scores of label maps, and what they are worth."""
