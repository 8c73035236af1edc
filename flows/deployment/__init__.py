"""Bundles leave: archives, images, files of deployment targets; archives of other installations come in."""
