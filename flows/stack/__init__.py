"""The local stack: Prefect server, MLflow server, the runner of schedules, and model services, under supervisord."""

from flows.stack.lifecycle import (
    Endpoints,
    ServiceStatus,
    configured,
    down,
    endpoints,
    silent_servers,
    status,
    up,
    watcher_sign,
)
from flows.stack.services import move_service, serve, service_state, service_url, stop_serving

__all__ = [
    "Endpoints",
    "ServiceStatus",
    "configured",
    "down",
    "endpoints",
    "move_service",
    "serve",
    "service_state",
    "service_url",
    "silent_servers",
    "status",
    "stop_serving",
    "up",
    "watcher_sign",
]
