"""`[kubernetes]` of modelyard.toml: a cluster whose pods serve every model, in place of this machine."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from components.core.strict import Strict

DnsLabel = Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")]
MODEL = "{model}"


class KubernetesSettings(Strict):
    """`[kubernetes]`: a cluster whose pods serve every model, in place of this machine.

    Args:
        namespace: in which the objects are made; it must be there.
        context: of the kubeconfig file (KUBECONFIG, or ~/.kube/config); None: its current context.
        in_cluster: Modelyard runs in a pod itself, and uses the account of that pod.
        replicas: pods of a version, at least.
        max_replicas: pods of a version, at most, under load; None: no autoscaler.
        requests_in_flight: requests that a pod answers at a time, beyond which pods are added. This needs an adapter
            that gives the cluster the metric of that name (docs/kubernetes.md); None: 70 % of the requested processor
            time.
        gateway: the Gateway, as NAME or NAMESPACE/NAME, to which the routes of models are attached. It splits the
            requests between champion and challenger; None: a Service alone, and no challengers.
        hostname: of a route; `{model}` is replaced by the model's name.
        url: where clients reach a service, with `{model}`; None: the Service's name in the cluster, or the route's.
        pull_secret: the secret with which nodes pull the images.
        form: what a version is: a Deployment, or an InferenceService of KServe, which makes the Deployment
            (docs/kubernetes.md).
        ready_seconds: how long the pods of a version may take until they are ready; pulling the image is a part of it.
    """

    namespace: DnsLabel
    context: str | None = None
    in_cluster: bool = False
    replicas: int = Field(default=2, ge=1, le=1000)
    max_replicas: int | None = Field(default=None, ge=1, le=1000)
    requests_in_flight: float | None = Field(default=None, gt=0)
    gateway: Annotated[str, Field(pattern=r"^([a-z0-9-]+/)?[a-z0-9.-]+$")] | None = None
    hostname: Annotated[str, Field(pattern=r"^[a-z0-9.{}*-]+$")] | None = None
    url: Annotated[str, Field(pattern=r"^https?://[^\s@?#]+$")] | None = None
    pull_secret: DnsLabel | None = None
    form: Literal["deployment", "kserve"] = "deployment"
    ready_seconds: float = Field(default=300, gt=0)

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.in_cluster and self.context is not None:
            raise ValueError("context is of a kubeconfig file, which in_cluster = true does not read")
        if self.max_replicas is not None and self.max_replicas < self.replicas:
            raise ValueError(f"max_replicas {self.max_replicas} is less than replicas {self.replicas}")
        if self.requests_in_flight is not None and self.max_replicas is None:
            raise ValueError("requests_in_flight needs max_replicas: without it, there is no autoscaler")
        if self.requests_in_flight is not None and self.form == "kserve":
            raise ValueError('requests_in_flight needs form = "deployment": KServe scales by the processor or memory')
        if (self.gateway is None) != (self.hostname is None):
            raise ValueError("gateway and hostname go together: a route has a host's name")
        if self.hostname is not None and MODEL not in self.hostname:
            raise ValueError(f"hostname needs {MODEL}: each model has a route of its own")
        return self

    def url_of(self, model: str) -> str:
        """Where clients reach a model's service."""
        if self.url is not None:
            return self.url.replace(MODEL, model).rstrip("/")
        return f"http://{self.hostname.replace(MODEL, model) if self.hostname else f'{model}.{self.namespace}.svc'}"
