"""Two versions released to a cluster by the commands that a person types, and the way back."""

from __future__ import annotations

import http
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path

import httpx

from components.packaging.bundle import Bundle
from tests import small_package
from tests.endtoend.releases import Releases
from tests.project_copy import running_copy
from tests.waiting import eventually

NAME = "far"
Ask = Callable[[str, str, Mapping[str, str], bytes], httpx.Response]  # model, path, headers, body


def release_and_go_back(
    base: Path,
    settings: str,
    images: dict[str, Bundle],
    ask: Ask,
    between: Callable[[Releases, Callable[[], str]], None] | None = None,
) -> None:
    """Release version 1, then version 2 while clients ask, then go back to version 1.

    Args:
        settings: `modelyard.toml`, with [kubernetes].
        images: what the cluster can pull; the images of both versions are added.
        ask: a client's request to a model in the cluster.
        between: done while version 1 serves again; gets what asks as a client does.
    """

    def settle(root: Path) -> None:
        (root / "modelyard.toml").write_text(settings)

    with running_copy(base / "project", settle) as house:
        releases = Releases(house)
        with releases.api:
            name = releases.pipeline(NAME)
            for number in ("1", "2"):
                releases.register(name, seed=int(number))
            refused = house.run("promote", name, "1", check=False)
            assert refused.returncode != 0
            said = refused.stdout + refused.stderr
            assert "modelyard containerize far --version 1 --push REGISTRY/NAME" in said, said
            for number in ("1", "2"):
                image = f"registry.example/ml/{name}@sha256:{number * 64}"
                shown = house.run("containerize", name, "--version", number, "--pushed", image).stdout
                images[image] = Bundle(house.project.bundles, name, shown.split()[0].rpartition(":")[2])
            key = house.run("keys", "add", name, "client").stdout.split()[-1]

            def predict() -> str:
                headers = {"content-type": "application/octet-stream", "x-api-key": key}
                answer = ask(name, "/predict", headers, small_package.image(0))
                is_right = answer.status_code == http.HTTPStatus.OK
                return answer.headers["x-modelyard-version"] if is_right else f"{answer.status_code} {answer.text[:99]}"

            house.run("promote", name, "1")
            assert predict() == "1"
            assert releases.service(name).url is None, "this machine serves nothing"
            end, answers = threading.Event(), Counter[str]()

            def keep_asking() -> None:
                while not end.wait(0.02):
                    answers[predict()] += 1

            client = threading.Thread(target=keep_asking)
            client.start()
            try:
                house.run("promote", name, "2")
                assert {predict() for _ in range(5)} == {"2"}
                house.run("rollback", name)
                assert {predict() for _ in range(5)} == {"1"}
            finally:
                end.set()
                client.join()
            assert set(answers) == {"1", "2"}, answers
            eventually(lambda: releases.alias(name) == "1", "the alias follows")
            switched = releases.wait_for(name, "2", "switched")
            assert switched.facts["hosts"] == 2
            if between is not None:
                between(releases, predict)
            releases.clear(name)
            eventually(lambda: predict().startswith("503"), "the service is withdrawn")
