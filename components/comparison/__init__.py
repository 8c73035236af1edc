"""Models of one dataset side by side: quality against parameters, training time, latency and size."""
