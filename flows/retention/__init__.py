"""Garbage collection (`modelyard gc`): finds unreferenced artifacts, plans their removal, and removes them."""
