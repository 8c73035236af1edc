"""Advice: what more data, a larger model or a longer training would bring, from fits to small trainings."""
