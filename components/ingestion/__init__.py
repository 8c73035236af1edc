"""A source (package, url + sha256, folder, csv, parquet) -> `data/<dataset>/raw`."""
