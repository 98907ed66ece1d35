"""The networks of the paper as NetSpec programs; `python -m crfasrnn.networks` writes them to prototxt/."""
