"""Tuning a language model on instruction data: projector, low-rank adapter, preferences; on a CPU or several GPUs."""
