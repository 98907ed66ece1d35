"""Inference without what training needs: chains of layers at a time, in bands, without zero borders."""
