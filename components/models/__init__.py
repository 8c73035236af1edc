"""Networks, one architecture a file. Each takes uint8 images and gives logits; `build` makes one from its spec."""
