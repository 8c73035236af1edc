"""The environment variable by which a stage gets a Dask cluster; apart, as it is read before heavy imports."""

VARIABLE = "MODELYARD_DASK"  # a `DaskRequest` as JSON; without it all runs in the stage's process
