"""Photographs and label maps as files."""
