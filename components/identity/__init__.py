"""Identity of content: digests, manifests, code fingerprints, locked versions, and the model package."""
