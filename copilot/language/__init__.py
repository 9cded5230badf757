"""Local language models behind one small interface."""
