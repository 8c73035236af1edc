"""Style, script and icon of the pages."""
