"""Shared by all packages: errors, the strict model, project layout, atomic files, progress, stage processes."""
