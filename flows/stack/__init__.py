"""The local stack: Prefect server, MLflow server, the runner of schedules, and model services, under supervisord."""

from flows.stack.lifecycle import Endpoints, ServiceStatus, down, endpoints, status, up
from flows.stack.services import serve, stop_serving

__all__ = ["Endpoints", "ServiceStatus", "down", "endpoints", "serve", "status", "stop_serving", "up"]
