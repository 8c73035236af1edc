"""One spec class an architecture: the settings that a pipeline file may give it, and where its network is written."""
