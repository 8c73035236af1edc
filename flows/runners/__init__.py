"""Where stages run: on this machine, or through an engine that people already run."""
