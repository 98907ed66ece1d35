"""Where CrfRnn stood when older models were pickled; new code imports it from crfasrnn.crf."""

from crfasrnn.crf.module import Bilateral, CrfRnn, Features, Spatial

__all__ = ["Bilateral", "CrfRnn", "Features", "Spatial"]
