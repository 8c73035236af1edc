"""What Modelyard does, one package a stage, in plain Python. Rooms are listed in the README."""
