"""A model package becomes a BentoML bundle: service, package and pinned requirements, without torch."""
