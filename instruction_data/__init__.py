"""Conversations and knowledge. Knows words, nothing of pixels."""
