"""What every room stands on: errors, the strict model, project layout, atomic files, progress, stage processes."""
