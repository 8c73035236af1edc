"""Requests to the API server of a cluster, with the credentials of a kubeconfig file or of the pod that this runs in.

The official client finds the credentials (tokens, certificates, `exec` plugins) and sends; objects stay JSON as the API
has them. https://kubernetes.io/docs/reference/using-api/api-concepts/
"""

from __future__ import annotations

import functools
import json
import time
from collections.abc import Mapping
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from typing import Any, cast
from urllib.parse import quote, urlencode

from components.contracts.kubernetes_settings import KubernetesSettings
from components.core.errors import ServingError, StackError, UsageError
from flows.serving_targets import cluster_refusal, cluster_snapshot

TIMEOUT_SECONDS = 10.0
READ_ATTEMPTS = 3  # of what changes nothing, where the connection is cut or the API server fails
READ_PAUSE_SECONDS = 0.2
MORE_ATTEMPTS = 4  # for a request that the API server puts off, as the clients of Kubernetes do
MERGE = "application/merge-patch+json"
STRICT = {"fieldValidation": "Strict"}  # a field that the API server does not know is refused, not dropped
# Path of the collection of each kind, below a namespace: https://kubernetes.io/docs/reference/kubernetes-api/
COLLECTIONS = {
    "Deployment": ("/apis/apps/v1", "deployments"),
    "ReplicaSet": ("/apis/apps/v1", "replicasets"),
    "Service": ("/api/v1", "services"),
    "Secret": ("/api/v1", "secrets"),
    "Pod": ("/api/v1", "pods"),
    "EndpointSlice": ("/apis/discovery.k8s.io/v1", "endpointslices"),
    "PodDisruptionBudget": ("/apis/policy/v1", "poddisruptionbudgets"),
    "HorizontalPodAutoscaler": ("/apis/autoscaling/v2", "horizontalpodautoscalers"),
    "InferenceService": ("/apis/serving.kserve.io/v1beta1", "inferenceservices"),
    "HTTPRoute": ("/apis/gateway.networking.k8s.io/v1", "httproutes"),
}
Document = dict[str, Any]


class ClusterAbsentError(StackError):
    """The API server of the cluster does not answer."""


class CutOffError(ClusterAbsentError):
    """The connection was cut before the answer had come."""


class ConflictError(ServingError):
    """An object was changed, made or removed meanwhile."""


class ForbiddenError(ServingError):
    """The account of Modelyard has no right to this."""


class UnknownKindError(ServingError):
    """The cluster has no definition of objects of this kind."""


@dataclass(frozen=True)
class Response:
    """What was answered, whatever that is."""

    status: int
    headers: Mapping[str, str]
    content: bytes


class ClusterApi:
    """One namespace of a cluster.

    Args:
        client: the official client, with its credentials.
    """

    def __init__(self, client: Any, namespace: str) -> None:
        self._client, self.namespace = client, namespace

    @property
    def place(self) -> str:
        """The API server and the namespace, for messages."""
        return f"{self._client.configuration.host} namespace {self.namespace}"

    def get(self, kind: str, name: str) -> Document | None:
        """An object; None: there is none.

        Raises:
            ClusterAbsentError, ServingError: as `_document`.
        """

        def read() -> Document | None:
            return self._document("GET", self._path(kind, name), missing_ok=True)

        snapshot = cluster_snapshot.present()
        return read() if snapshot is None else snapshot.document((self.place, kind, name), read)

    def list(self, kind: str, labels: Mapping[str, str]) -> list[Document]:
        """The objects with these labels."""
        snapshot = cluster_snapshot.present()
        if snapshot is None:
            return self._list(kind, labels)
        return snapshot.documents((self.place, kind, ""), labels, lambda asked: self._list(kind, asked))

    def _list(self, kind: str, labels: Mapping[str, str]) -> cluster_snapshot.Documents:
        chosen = ",".join(f"{name}={value}" for name, value in labels.items())
        found = self._document("GET", self._path(kind), query={"labelSelector": chosen})
        items: list[Document] = (found or {}).get("items") or []
        return items

    def create(self, document: Document) -> Document:
        """Make an object.

        Raises:
            ConflictError: it is there.
        """
        return self._document("POST", self._path(document["kind"]), document, query=STRICT) or {}

    def patch(self, kind: str, name: str, change: Document) -> Document | None:
        """Change an object by a merge patch (RFC 7386); None: there is none any more.

        Raises:
            ConflictError: `change` holds another `metadata.resourceVersion` than the object has by now.
        """
        return self._document("PATCH", self._path(kind, name), change, query=STRICT, media=MERGE, missing_ok=True)

    def delete(self, kind: str, name: str, resource_version: str | None = None) -> None:
        """Remove an object, unless it is gone.

        Raises:
            ConflictError: it has another version by now.
        """
        options: Document = {"propagationPolicy": "Background"}
        if resource_version is not None:
            options["preconditions"] = {"resourceVersion": resource_version}
        self._document("DELETE", self._path(kind, name), options, missing_ok=True)

    def ask_pod(
        self,
        pod: str,
        port: int,
        path: str,
        headers: Mapping[str, str],
        content: bytes | None = None,
        timeout_seconds: float = TIMEOUT_SECONDS,
    ) -> Response:
        """A request to a pod through the API server; GET, or POST where there is content.

        A pod that does not answer is a response of the API server with a status of 500 and more.

        Raises:
            ClusterAbsentError: the API server does not answer, or fails, or puts it off several times.
        """
        url = f"{self._path('Pod', f'{pod}:{port}')}/proxy{quote(path)}"
        method = "GET" if content is None else "POST"
        for attempt in range(1, READ_ATTEMPTS + 1):  # a prediction that is asked for twice changes nothing
            with suppress(CutOffError) if attempt < READ_ATTEMPTS else nullcontext():
                answer = self._send(method, url, dict(headers), content, timeout_seconds)
                if not cluster_refusal.is_of_overload(answer.status, answer.content):
                    return answer
            time.sleep(READ_PAUSE_SECONDS)
        raise self._refusal(method, url, answer)

    def _path(self, kind: str, name: str | None = None) -> str:
        root, plural = COLLECTIONS[kind]
        return f"{root}/namespaces/{self.namespace}/{plural}" + (f"/{quote(name, safe=':')}" if name else "")

    def _document(
        self,
        method: str,
        path: str,
        document: Document | None = None,
        *,
        query: Mapping[str, str] | None = None,
        media: str = "application/json",
        missing_ok: bool = False,
    ) -> Document | None:
        """One request of JSON.

        Raises:
            ClusterAbsentError: the API server does not answer, or fails, or puts it off several times (HTTP 429); or
                something else answers in its place.
            ConflictError: HTTP 409.
            ServingError: it refuses.
        """
        if method != "GET":
            cluster_snapshot.forget()
        content = json.dumps(document).encode() if document is not None else None
        target = f"{path}?{urlencode(query)}" if query else path
        answer = self._patiently(method, target, media, content)
        if cluster_refusal.is_of_rights(answer.status, cluster_refusal.message(answer.content)):
            self._refuse_start()
            answer = self._patiently(method, target, media, content)  # it may have become ready in between
        is_of_missing = answer.status == 404 and cluster_refusal.is_of_missing(path, answer.content)
        if is_of_missing and missing_ok:
            return None
        if answer.status < 300 and (found := cluster_refusal.document(answer.content)) is not None:
            return found
        if answer.status < 400 or (answer.status == 404 and not is_of_missing):
            raise self._not_of_api_server(method, path, answer)
        raise self._refusal(method, path, answer)

    def _patiently(self, method: str, path: str, media: str, content: bytes | None) -> Response:
        """One request, sent again where the API server puts it off; one that reads also where it fails for a moment."""
        headers = {"Content-Type": media}
        answer = self._read(path, headers) if method == "GET" else self._sent(method, path, headers, content)
        for _ in range(MORE_ATTEMPTS):
            if answer.status != 429:
                break
            time.sleep(cluster_refusal.pause_seconds(answer.headers.get("retry-after", "")))
            answer = self._sent(method, path, headers, content)
        return answer

    def _read(self, path: str, headers: dict[str, str]) -> Response:
        for _ in range(READ_ATTEMPTS - 1):
            with suppress(CutOffError):
                answer = self._sent("GET", path, headers, None)
                if answer.status < 500:
                    return answer
            time.sleep(READ_PAUSE_SECONDS)
        return self._sent("GET", path, headers, None)

    def _sent(self, method: str, path: str, headers: dict[str, str], content: bytes | None) -> Response:
        return self._send(method, path, headers, content, TIMEOUT_SECONDS)

    def _refuse_start(self) -> None:
        """An API server answers before it has read its accounts and roles, and forbids everything until then.

        Raises:
            ClusterAbsentError: it does not say of itself that it is ready.
        """
        answer = self._send("GET", "/readyz", {}, None, TIMEOUT_SECONDS)
        if answer.status >= 500:
            raise ClusterAbsentError(
                "the API server of the cluster is not ready",
                where=self.place,
                got=cluster_refusal.failed_checks(answer.content),
                next_step="`kubectl get --raw '/readyz?verbose'` says more",
            )

    def _not_of_api_server(self, method: str, path: str, answer: Response) -> ClusterAbsentError:
        return ClusterAbsentError(
            "no API server of Kubernetes answers",
            where=f"{method} {self._client.configuration.host}{path}",
            got=cluster_refusal.foreign_answer(answer.status, answer.headers, answer.content),
            expected="an object as JSON",
            next_step="something in between answers, such as a login page: log in, or correct the server's address in "
            "the kubeconfig file; `kubectl get --raw /readyz` with the same context says more",
        )

    def _refusal(self, method: str, path: str, answer: Response) -> ServingError | StackError:
        said = cluster_refusal.message(answer.content) or f"HTTP {answer.status}"
        where = f"{method} {self._client.configuration.host}{path}"
        if answer.status == 409:
            return ConflictError("the object was changed meanwhile", where=where, got=said)
        if answer.status in (429,) or answer.status >= 500:
            return ClusterAbsentError("the cluster does not answer as it should", where=where, got=said)
        if cluster_refusal.is_of_rights(answer.status, said):
            return ForbiddenError(
                "the cluster does not allow this to Modelyard",
                where=where,
                got=said,
                next_step="give the account the rights that docs/kubernetes.md names",
            )
        if cluster_refusal.is_of_unknown_kind(answer.status, said):
            return UnknownKindError(
                "the cluster knows no objects of this kind",
                where=where,
                got=said,
                next_step="install what defines them: KServe, or the Gateway API (docs/kubernetes.md)",
            )
        return ServingError("the cluster refuses", where=where, got=said)

    def _send(
        self, method: str, path: str, headers: dict[str, str], content: bytes | None, timeout_seconds: float
    ) -> Response:
        import urllib3
        from kubernetes.client.exceptions import ApiException

        own = {"Accept": "application/json, */*", "User-Agent": "modelyard", **headers}
        self._client.update_params_for_auth(own, [], ["BearerToken"], path, method, content)
        try:
            answer = self._client.rest_client.pool_manager.request(
                method,
                self._client.configuration.host + path,
                body=content,
                headers=own,
                timeout=urllib3.Timeout(total=timeout_seconds),
                retries=False,
            )
        except (urllib3.exceptions.HTTPError, ApiException, OSError) as error:
            is_cut = isinstance(error, urllib3.exceptions.ProtocolError)
            raise (CutOffError if is_cut else ClusterAbsentError)(
                "the cluster does not answer",
                where=self.place,
                got=" ".join(str(error).split())[:300],
                next_step="`kubectl get --raw /readyz` with the same context says more",
            ) from error
        return Response(answer.status, {name.lower(): value for name, value in answer.headers.items()}, answer.data)


@functools.cache
def connect(settings: KubernetesSettings) -> ClusterApi:
    """The cluster that the settings name; credentials are read once a process.

    Raises:
        UsageError: the client is not installed, or there are no such credentials.
    """
    try:
        from kubernetes import client, config
    except ImportError as error:
        raise UsageError(
            "[kubernetes] needs the client of Kubernetes",
            got=str(error),
            next_step="pip install 'modelyard[kubernetes]', or kubernetes>=31",
        ) from error
    configuration, read = client.Configuration(), cast(Any, config)  # the module has no types
    try:
        if settings.in_cluster:
            read.load_incluster_config(client_configuration=configuration)
        else:
            read.load_kube_config(context=settings.context, client_configuration=configuration)
    except (config.ConfigException, OSError, ValueError) as error:
        raise UsageError(
            "the credentials of the cluster cannot be read",
            where="the account of this pod" if settings.in_cluster else "KUBECONFIG, or ~/.kube/config",
            got=str(error)[:300],
            next_step="`kubectl config get-contexts` lists the contexts; [kubernetes] context names one",
        ) from error
    return ClusterApi(client.ApiClient(configuration), settings.namespace)
