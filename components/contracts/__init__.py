"""What crosses the walls: specs, manifests, digests, errors. Imports none of our other rooms."""
