"""How good a trained network is on the frozen test split: metrics, slices, pictures, card, gates. No torch."""
