"""Embedding: whole slides to features on disk, tile by tile: plan, decode, encode, journal, write."""
