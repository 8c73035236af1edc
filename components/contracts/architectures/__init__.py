"""One spec class for each architecture: the settings in a pipeline file, and the module that builds the network."""
