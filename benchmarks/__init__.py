"""Side-by-side figures and sample answers, each printed by a command."""
