"""The stage between validated samples and training: who is in which split, arrays by split, golden examples."""
