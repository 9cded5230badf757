"""Knowledge tables and their loader; every figure has a source or says that it has none."""
