"""DVC: what is stale, what a dataset's digest is. The only room that imports dvc."""
