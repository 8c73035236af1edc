"""`modelyard gc`: what nothing needs any more is planned, said with its size, and removed."""
