"""Encoders, heads, novelty, retrieval, morphometry, and looking. Knows tissue, nothing of words."""
