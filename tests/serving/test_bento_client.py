"""BentoML's own client asks, unchanged, and gets the answers of /predict."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from flows.platform.environment import QUIET
from tests import small_package
from tests.serving import packages
from tests.serving.service import over_http

# In a process of its own: importing BentoML warns, and its client leaves temporary folders to Python.
SCRIPT = """
import json, sys
from pathlib import Path
import bentoml
from PIL import Image
from bentoml.exceptions import BentoMLException

found = {}
urls = json.loads(sys.argv[1])
clients = {name: bentoml.SyncHTTPClient(url, server_ready_timeout=0) for name, url in urls.items()}
image = clients["image"]
found["path"] = image.predict(image=Path("0.png"))
found["position"] = image.predict(Path("0.png"))
found["picture"] = image.predict(image=Image.open("1.png"))
found["batch"] = image.predict_batch(images=[Path("0.png"), Path("1.png")])
for name, ask in {"argument": lambda: image.predict(picture=Path("0.png")),
                  "url": lambda: image.predict(image="http://a.example/0.png")}.items():
    try:
        ask()
    except (TypeError, BentoMLException) as error:
        found[name] = type(error).__name__
text = clients["text"]
found["text"] = text.predict(prompt="one", parameters={"max_tokens": 3})
found["texts"] = text.predict_batch(prompts=["one", "two"])
found["row"] = clients["table"].predict(row=json.loads(sys.argv[2]))
found["series"] = clients["series"].predict(values=json.loads(sys.argv[3]))
print("FOUND", json.dumps(found))
"""


@pytest.mark.slow
def test_it_gets_the_answers_of_predict(tmp_path: Path) -> None:
    small_package.bundle(tmp_path / "image", "7")
    files = [small_package.image(seed) for seed in range(2)]
    for seed, file in enumerate(files):
        (tmp_path / f"{seed}.png").write_bytes(file)
    packages.language_model(tmp_path / "text")
    packages.table(tmp_path / "table")
    packages.series(tmp_path / "series")
    row, values = packages.ROWS[0], packages.SERIES[0].tolist()
    with (
        over_http(tmp_path / "image") as image, over_http(tmp_path / "text") as text,
        over_http(tmp_path / "table") as table, over_http(tmp_path / "series") as series,
    ):  # fmt: skip
        urls = {"image": image, "text": text, "table": table, "series": series}
        words = [json.dumps(urls), json.dumps(row), json.dumps(values)]
        environment = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), **QUIET}
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT, *words],
            cwd=tmp_path, env=environment, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        found = json.loads(done.stdout.partition("FOUND ")[2])

        for answer in found.values():
            if isinstance(answer, dict):
                answer.pop("id", None)  # each answer has its own

        def native(url: str, **request: Any) -> Any:
            document = httpx.post(f"{url}/predict", **request).json()
            return {key: value for key, value in document.items() if key != "id"}

        first, second = (native(image, content=file, headers={"content-type": "image/png"}) for file in files)
        assert found["path"] == found["position"] == first
        assert found["picture"] == second
        assert found["batch"]["predictions"] == [*first["predictions"], *second["predictions"]]
        assert (found["argument"], found["url"]) == ("TypeError", "BentoMLException")  # nothing is fetched for a caller
        assert found["text"] == native(text, json={"prompt": "one", "parameters": {"max_tokens": 3}})
        assert found["texts"] == native(text, json={"prompts": ["one", "two"]})
        assert found["row"] == native(table, json={"row": row})
        assert found["series"] == native(series, json={"values": values})
