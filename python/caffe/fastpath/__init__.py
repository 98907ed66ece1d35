"""Layers at a time, in inference and training: chains and regions, in bands, without zero borders."""
