"""Self-supervised pretraining: tiles in, an encoder out; one trainer, objectives as small files."""
