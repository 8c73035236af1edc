"""Small datasets of known truth, and what happens to such data on its way to a person: one module for each kind."""
