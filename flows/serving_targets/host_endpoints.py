"""What a controller asks of a host that serves, as HTTP requests.

    POST /claim {secret, name, names}         the folder belongs to the project with this secret, as this host
    GET  /observe                             the clock; of every model: spec, status, state, port, keys' digest
    POST /leases {boot, since, seconds}       the leases of the services, from a reading of the clock on
    GET  /models/M/status                     what the workers report now
    PUT  /models/M/spec    {production, decision, staged}
    GET  /models/M/bundles/K                  whether the bundle is there
    PUT  /models/M/bundles/K                  the bundle, a tar file; it appears whole, with its seals compared
    GET  /models/M/bundles/K/archive          the same, for a controller on another machine than the one that built it
    PUT  /models/M/keys                       the API keys' file
    GET  /logs                                of every model: the files of its prediction log, with their sizes
    GET  /logs/M/HOUR/FILE?start=N            bytes of such a file
    POST /logs/M/HOUR/remove {files}          the hour was brought, with files of these sizes: it goes
    POST /models/M/start   {key}   /stop   /move {port}
    POST /models/M/prove   {package_digest, tolerance, workers}

An error is the JSON form of a `ModelyardError`, with status 409.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import re
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route

from components.access import project_door
from components.contracts import serving_lease
from components.contracts.serving_lease import Lease
from components.contracts.serving_spec import UnreadableSpecError
from components.core import disk_space
from components.core.errors import CorruptArtifactError, ModelyardError, NotFoundError, StackError
from components.core.project import Project
from components.identity.package import Package
from components.packaging import archive, bundle_store
from components.packaging.bundle import Bundle
from components.release.production import Pin, Production
from flows.platform import services, supervisor
from flows.platform.programs import SERVICE_PREFIX, log_file
from flows.serving_targets import host_folder
from flows.serving_targets.host_protocol import Grant, HostObservation, ModelObservation
from flows.serving_targets.local_target import LocalServingTarget

STATUS_SECONDS = 1.0
INCOMING = "incoming-"  # a bundle that is being sent; a killed agent leaves it
_MODEL = re.compile(r"[a-z0-9][a-z0-9._-]*")
_KEY = re.compile(r"[0-9a-f][0-9a-f-]{0,63}")


class HostEndpoints:
    """Answers what is asked of one host's folder."""

    def __init__(self, project: Project, listen: str, address: str | None) -> None:
        self._project, self._listen, self._address = project, listen, address
        self._threads = ThreadPoolExecutor(8, "observe")

    def application(self) -> Starlette:
        """The routes."""
        routes = [
            ("/claim", "POST", self._claim),
            ("/observe", "GET", self._observe),
            ("/leases", "POST", self._leases),
            ("/models/{model}/status", "GET", self._status),
            ("/models/{model}/spec", "PUT", self._spec),
            ("/models/{model}/bundles/{key}", "GET", self._has_bundle),
            ("/models/{model}/bundles/{key}", "PUT", self._put_bundle),
            ("/models/{model}/bundles/{key}/archive", "GET", self._archive),
            ("/models/{model}/keys", "PUT", self._keys),
            ("/logs", "GET", self._logs),
            ("/logs/{model}/{hour}/remove", "POST", self._remove_hour),
            ("/logs/{model}/{hour}/{file}", "GET", self._lines),
            ("/models/{model}/start", "POST", self._start),
            ("/models/{model}/stop", "POST", self._stop),
            ("/models/{model}/move", "POST", self._move),
            ("/models/{model}/prove", "POST", self._prove),
        ]
        return Starlette(routes=[Route(path, _answering(one), methods=[method]) for path, method, one in routes])

    def _target(self, request: Request) -> LocalServingTarget:
        model = request.path_params["model"]
        if _MODEL.fullmatch(model) is None:
            raise NotFoundError("no name of a model", got=model)
        return LocalServingTarget(self._project, model, self._listen, self._address)

    async def _claim(self, request: Request) -> Any:
        asked = await request.json()
        host_folder.claim(self._project, str(asked["secret"]), str(asked["name"]), list(map(str, asked["names"])))
        return {}

    async def _observe(self, _: Request) -> Any:
        clock_seconds = serving_lease.clock_seconds()  # first: a lease that is granted upon it begins here
        names = {path.parent.name for path in (self._project.state / "services").glob("*/spec.json")}
        names |= set(services.names(self._project))
        observed = await asyncio.gather(*(run_in_threadpool(self._observe_model, name) for name in sorted(names)))
        models = dict(zip(sorted(names), observed, strict=True))
        seen = HostObservation(boot=serving_lease.boot_id(), clock_seconds=clock_seconds, models=models)
        return json.loads(seen.model_dump_json())

    async def _leases(self, request: Request) -> Any:
        grant = Grant.model_validate_json(await request.body())
        return {"taken": await run_in_threadpool(host_folder.take_leases, self._project, grant)}

    def _observe_model(self, name: str) -> ModelObservation:
        target = LocalServingTarget(self._project, name, self._listen, self._address)
        url = target.url
        try:
            spec = target.spec()
        except UnreadableSpecError:
            spec = None
        keys = project_door.api_keys_file(self._project, name)
        status = target.status(STATUS_SECONDS) if url else None
        log = log_file(self._project, f"{SERVICE_PREFIX}{name}")
        lease = Lease.read(target.folder)
        return ModelObservation(
            port=int(url.rpartition(":")[2]) if url else None,
            # One that fails at the address of before is started anew at the next one.
            state="stopped" if status is None and host_folder.listens_elsewhere(target) else target.state(),
            status=status,
            spec=spec,
            age_seconds=target.age_seconds(),
            keys=hashlib.sha256(keys.read_bytes()).hexdigest() if keys.exists() else "",
            lease_seconds=None if lease is None else lease.seconds,
            note=supervisor.tail(log, 1)[-300:] if url and status is None else "",
        )

    async def _status(self, request: Request) -> Any:
        status = await run_in_threadpool(self._target(request).status)
        return None if status is None else json.loads(status.model_dump_json())

    async def _spec(self, request: Request) -> Any:
        target, asked = self._target(request), await request.json()
        production = Production.model_validate_json(json.dumps(asked["production"]))
        staged = None if asked["staged"] is None else Pin.model_validate_json(json.dumps(asked["staged"]))

        def apply() -> Any:
            spec = target.apply(production, int(asked["decision"]), staged=staged)
            named = {target.bundle(pin).folder.name for pin in (*production.pins, *((staged,) if staged else ()))}
            host_folder.remove_old_bundles(self._project, target.name, named)
            return json.loads(spec.model_dump_json())

        return await run_in_threadpool(apply)

    def _bundle(self, request: Request, key: str) -> Bundle:
        if _KEY.fullmatch(key) is None:
            raise NotFoundError("no key of a bundle", got=key)
        return Bundle(self._project.bundles, self._target(request).name, key)

    async def _has_bundle(self, request: Request) -> Any:
        bundle = self._bundle(request, request.path_params["key"])

        def digest() -> str | None:
            try:
                return bundle.verify().digest if bundle.exists() else None
            except CorruptArtifactError:  # it is sent again
                return None

        return {"digest": await run_in_threadpool(digest)}

    async def _put_bundle(self, request: Request) -> Any:
        bundle = self._bundle(request, request.path_params["key"])
        self._project.bundles.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=self._project.bundles, prefix=INCOMING) as stream:
            async for piece in request.stream():
                await run_in_threadpool(stream.write, piece)
            stream.flush()

            def place() -> str:
                with bundle_store.staging(bundle) as own:
                    archive.unpack(Path(stream.name), own)
                    bundle_store.place(own / bundle.folder.name, bundle)
                return bundle.verify().digest

            return {"digest": await run_in_threadpool(place)}

    async def _archive(self, request: Request) -> Response:
        bundle = self._bundle(request, request.path_params["key"])
        bundle.verify()
        descriptor, name = tempfile.mkstemp(dir=self._project.bundles, prefix=INCOMING)
        os.close(descriptor)
        await run_in_threadpool(archive.pack, bundle.folder, Path(name))
        return FileResponse(name, background=BackgroundTask(Path(name).unlink, missing_ok=True))

    async def _keys(self, request: Request) -> Any:
        host_folder.put_keys(self._project, self._target(request).name, await request.body())
        return {}

    async def _logs(self, _: Request) -> Any:
        return await run_in_threadpool(host_folder.logs, self._project)

    async def _lines(self, request: Request) -> Response:
        target, parts = self._target(request), request.path_params
        start = int(request.query_params["start"])
        content = await run_in_threadpool(
            host_folder.lines, self._project, target.name, parts["hour"], parts["file"], start
        )
        return Response(content, media_type="application/octet-stream")

    async def _remove_hour(self, request: Request) -> Any:
        target, files = self._target(request), (await request.json())["files"]
        hour = request.path_params["hour"]
        return {"removed": await run_in_threadpool(host_folder.remove_hour, self._project, target.name, hour, files)}

    async def _start(self, request: Request) -> Any:
        target, key = self._target(request), str((await request.json())["key"])
        bundle = self._bundle(request, key)
        if not bundle.exists():
            raise NotFoundError(f"the bundle {bundle.tag} is not on this host", where=str(bundle.folder))
        return {"url": await run_in_threadpool(host_folder.start, target, bundle.key)}

    async def _stop(self, request: Request) -> Any:
        await run_in_threadpool(self._target(request).stop)
        return {}

    async def _move(self, request: Request) -> Any:
        target, port = self._target(request), int((await request.json())["port"])

        def move() -> None:
            host_folder.start_supervisor(self._project)
            target.move(port)

        await run_in_threadpool(move)
        return {}

    async def _prove(self, request: Request) -> Any:
        target, asked = self._target(request), await request.json()

        def prove() -> float:
            spec = target.spec()
            slots = [] if spec is None else [spec.champion, spec.challenger, spec.previous, spec.staged]
            for slot in slots:
                if slot is not None and slot.package_digest == asked["package_digest"]:
                    package = Package.open(target.folder.resolve() / slot.bundle / "package")
                    return target.check_golden_examples(package, float(asked["tolerance"]), int(asked["workers"]))
            raise NotFoundError("no slot of this host's spec holds the package", got=str(asked["package_digest"]))

        return {"difference": await run_in_threadpool(prove)}


def _answering(endpoint: Callable[[Request], Any]) -> Callable[[Request], Any]:
    async def answer(request: Request) -> Response:
        try:
            answer = await endpoint(request)
            return answer if isinstance(answer, Response) else JSONResponse(answer)
        except ModelyardError as error:
            return JSONResponse(_told(error).to_dict(), status_code=409)
        except (OSError, ValueError, KeyError, TypeError) as error:
            return JSONResponse(_told(error).to_dict(), status_code=409)

    return answer


def _told(error: Exception) -> ModelyardError:
    """An error as who asked is told it: a full disk is this machine's, not theirs."""
    if disk_space.is_full(error):
        full = disk_space.as_error(error)
        return StackError("the disk of the host is full", where=full.where, got=full.got, next_step=full.next_step)
    return error if isinstance(error, ModelyardError) else ModelyardError(f"the host: {error}")
