"""One file a verb of the command line; each is registered in `copilot.cli`."""
