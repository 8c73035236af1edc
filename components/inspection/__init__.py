"""What is likely to be wrong with single samples, and what two versions of a dataset differ in."""
