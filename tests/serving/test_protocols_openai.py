"""The OpenAI API: the real client asks, unchanged; its answers are those of /predict; who leaves ends the work."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from components.contracts import chat_template
from components.contracts.chat_template import Message
from components.contracts.serving_spec import ChallengerLimits
from components.inference.predictor import Predictor
from tests import embedding_task, small_package
from tests.serving import packages
from tests.serving.service import challenger, eventually, over_http, running


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("bundle")
    packages.language_model(folder)
    with over_http(folder) as url:
        yield url


@pytest.fixture
def client(url: str) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{url}/v1", api_key="unused", max_retries=0) as client:
        yield client


def native(url: str, prompts: list[str], **parameters: Any) -> list[dict[str, Any]]:
    response = httpx.post(f"{url}/predict", json={"prompts": prompts, "parameters": parameters})
    assert response.status_code == 200, response.text
    found: list[dict[str, Any]] = response.json()["predictions"]
    return found


def test_models(client: openai.OpenAI) -> None:
    assert [model.id for model in client.models.list()] == ["sample"]
    assert client.models.retrieve("sample").owned_by == "modelyard"
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("other")


def test_completions_are_the_answers_of_predict(url: str, client: openai.OpenAI) -> None:
    done = client.completions.create(model="sample", prompt="one two", temperature=0)
    (expected,) = native(url, ["one two"], max_tokens=16)
    (choice,) = done.choices
    assert (choice.text, choice.finish_reason, choice.index) == (expected["text"], "stop", 0)
    assert expected["text"].split() == packages.WORDS[2:]
    assert done.usage is not None
    assert (done.usage.prompt_tokens, done.usage.completion_tokens, done.usage.total_tokens) == (2, 6, 8)
    assert (done.object, done.model) == ("text_completion", "sample")

    several = client.completions.create(model="sample", prompt=["one", "six"], temperature=0, max_tokens=3)
    assert [(one.text, one.finish_reason) for one in several.choices] == [
        (one["text"], {"length": "length", "end": "stop"}[one["stopped"]])
        for one in native(url, ["one", "six"], max_tokens=3)
    ]
    assert [one.finish_reason for one in several.choices] == ["length", "stop"]

    stopped = client.completions.create(model="sample", prompt="one", temperature=0, stop="four")
    assert (stopped.choices[0].text.split(), stopped.choices[0].finish_reason) == (["two", "three"], "stop")


def test_seeds_and_sampling(url: str, client: openai.OpenAI) -> None:
    def text(**options: Any) -> str:
        return (
            client.completions.create(model="sample", prompt="one", max_tokens=40, temperature=9, **options)
            .choices[0]
            .text
        )

    (expected,) = native(url, ["one"], max_tokens=40, temperature=9, seed=5, top_p=0.9)
    assert text(seed=5, top_p=0.9) == text(seed=5, top_p=0.9) == expected["text"]
    assert len({text() for _ in range(4)}) > 1  # without a seed, as OpenAI's


def test_streams_give_the_same_text_in_parts(url: str, client: openai.OpenAI) -> None:
    (expected,) = native(url, ["one"], max_tokens=16)
    options: dict[str, Any] = {"stream": True, "stream_options": {"include_usage": True}}
    chunks = list(client.completions.create(model="sample", prompt="one", temperature=0, **options))
    texts = [chunk.choices[0].text for chunk in chunks if chunk.choices]
    assert "".join(texts) == expected["text"]
    assert len([text for text in texts if text]) == 7  # a part a token
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices][-1] == "stop"
    assert chunks[-1].usage.total_tokens == 8
    assert len({chunk.id for chunk in chunks}) == 1

    both = list(client.completions.create(model="sample", prompt=["one", "six"], temperature=0, stream=True))
    assert "".join(chunk.choices[0].text for chunk in both if chunk.choices[0].index == 1).split() == ["seven", "eight"]


def test_chats_are_written_as_one_text(url: str, client: openai.OpenAI) -> None:
    messages: list[Any] = [
        {"role": "system", "content": "one"},
        {"role": "user", "content": [{"type": "text", "text": "four five"}]},
    ]
    prompt = chat_template.prompt([Message("system", "one"), Message("user", "four five")])
    assert prompt == "<|system|>\none\n<|user|>\nfour five\n<|assistant|>\n"
    (expected,) = native(url, [prompt], max_tokens=3)
    options: dict[str, Any] = {"model": "sample", "messages": messages, "temperature": 0, "max_completion_tokens": 3}
    done = client.chat.completions.create(**options)
    message = done.choices[0].message
    assert (message.role, message.content, done.object) == ("assistant", expected["text"].strip(), "chat.completion")

    chunks = list(client.chat.completions.create(**options, stream=True))
    assert chunks[0].choices[0].delta.role == "assistant"
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == message.content
    assert chunks[-1].choices[0].finish_reason == done.choices[0].finish_reason
    assert chunks[0].object == "chat.completion.chunk"


def test_the_events_end_with_done(url: str) -> None:
    body = {"model": "sample", "prompt": "one", "stream": True, "temperature": 0}
    response = httpx.post(f"{url}/v1/completions", json=body)
    assert response.headers["content-type"] == "text/event-stream"
    events = response.text.split("\n\n")
    assert events[-2:] == ["data: [DONE]", ""]
    assert all(json.loads(event.removeprefix("data: ")) for event in events[:-2])


BAD: dict[str, tuple[str, Any, int, str | None]] = {
    "no JSON": ("completions", b"{", 400, None),
    "no model": ("completions", {"prompt": "a"}, 400, "model"),
    "another model": ("completions", {"model": "gpt", "prompt": "a"}, 404, "model"),
    "tokens": ("completions", {"model": "sample", "prompt": [1, 2]}, 400, "prompt"),
    "no prompts": ("completions", {"model": "sample", "prompt": []}, 400, "prompt"),
    "two answers": ("completions", {"model": "sample", "prompt": "a", "n": 2}, 400, "n"),
    "true answers": ("completions", {"model": "sample", "prompt": "a", "n": True}, 400, "n"),
    "log-probabilities": ("completions", {"model": "sample", "prompt": "a", "logprobs": 3}, 400, "logprobs"),
    "a penalty": ("completions", {"model": "sample", "prompt": "a", "presence_penalty": 1}, 400, "presence_penalty"),
    "an unknown parameter": ("completions", {"model": "sample", "prompt": "a", "x": 1}, 400, "x"),
    "too many tokens": ("completions", {"model": "sample", "prompt": "a", "max_tokens": 10**6}, 400, None),
    "a text as temperature": ("completions", {"model": "sample", "prompt": "a", "temperature": "b"}, 400, None),
    "a number as stop": ("completions", {"model": "sample", "prompt": "a", "stop": 3}, 400, None),
    "stream no flag": ("completions", {"model": "sample", "prompt": "a", "stream": 1}, 400, "stream"),
    "no messages": ("chat/completions", {"model": "sample", "messages": []}, 400, "messages"),
    "a message of text": ("chat/completions", {"model": "sample", "messages": ["a"]}, 400, "messages[0]"),
    "a tool": ("chat/completions", {"model": "sample", "messages": [{"role": "tool", "content": "a"}]}, 400,
               "messages[0].role"),
    "a list as role": ("chat/completions", {"model": "sample", "messages": [{"role": [], "content": "a"}]}, 400,
                       "messages[0].role"),
    "a picture": ("chat/completions", {"model": "sample", "messages": [{"role": "user", "content": [
        {"type": "image_url", "image_url": {"url": "http://a"}}]}]}, 400, "messages[0].content"),
    "tools": ("chat/completions", {"model": "sample", "messages": [{"role": "user", "content": "a"}],
              "tools": [{"type": "function"}]}, 400, "tools"),
    "too large": ("completions", b" " * 100_001, 413, None),
    "another path": ("images/generations", {}, 404, None),
}  # fmt: skip


@pytest.mark.parametrize("kind", BAD)
def test_what_is_wrong_is_refused_as_openai_does(kind: str, url: str) -> None:
    path, body, status, param = BAD[kind]
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    response = httpx.post(f"{url}/v1/{path}", content=content, headers={"content-type": "application/json"})
    assert response.status_code == status, response.text
    error = response.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    if param is not None:
        assert error["param"] == param


def test_the_client_raises_its_own_errors(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError, match="it has sample"):
        client.completions.create(model="gpt-4", prompt="a")
    with pytest.raises(openai.BadRequestError, match="not supported"):
        client.completions.create(model="sample", prompt="a", n=3)


def test_a_model_that_writes_no_texts_says_so(tmp_path: Path) -> None:
    small_package.bundle(tmp_path, "7")
    with over_http(tmp_path) as url:
        assert httpx.get(f"{url}/v1/models").json()["data"][0]["id"] == "sample"
        response = httpx.post(f"{url}/v1/completions", json={"model": "sample", "prompt": "a"})
    assert response.status_code == 404
    assert "does not write texts" in response.json()["error"]["message"]


@pytest.mark.parametrize("way", ["stream", "whole", "native"])
def test_who_leaves_ends_the_work(way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    packages.language_model(tmp_path, endless=True)
    runs = 0
    run = Predictor.run

    def counted(self: Predictor, *rest: Any) -> Any:
        nonlocal runs
        runs += 1
        time.sleep(0.002)
        return run(self, *rest)

    monkeypatch.setattr(Predictor, "run", counted)
    body: dict[str, Any] = {"model": "sample", "prompt": "one", "max_tokens": 2048, "temperature": 0}
    with over_http(tmp_path) as url:
        runs = 0
        if way == "stream":
            with httpx.stream("POST", f"{url}/v1/completions", json={**body, "stream": True}) as response:
                lines = response.iter_lines()
                assert next(lines).startswith("data: ")
        else:
            path, document = "/v1/completions", body
            if way == "native":
                path, document = "/predict", {"prompt": "one", "parameters": {"max_tokens": 2048}}
            with pytest.raises(httpx.ReadTimeout):
                httpx.post(f"{url}{path}", json=document, timeout=0.2)
        assert runs > 0

        def stands() -> bool:
            before = runs
            time.sleep(0.05)
            return runs == before

        eventually(stands, 3)
        assert runs < 1000
        short = {**body, "max_tokens": 2}
        assert httpx.post(f"{url}/v1/completions", json=short).json()["choices"][0]["text"].split() == ["two", "three"]


@pytest.mark.parametrize("stream", [True, False])
def test_where_a_challenger_fails_the_champion_answers(stream: bool, tmp_path: Path) -> None:
    champion = packages.language_model(tmp_path / "1")
    failing = packages.language_model(tmp_path / "2", fails=True, version="2")
    with running(Path(champion.bundle), tmp_path / "service") as service:
        limits = ChallengerLimits(max_error_rate=1.0, max_latency_ratio=100.0, min_requests=1000)
        service.order(champion=champion, challenger=challenger(failing, 100, limits))
        for prompt, version in (("one", "2"), ("unknown", "1")):
            body = {"model": "sample", "prompt": prompt, "temperature": 0, "stream": stream, "max_tokens": 3}
            response = service.client.post("/v1/completions", json=body)
            assert response.status_code == 200, response.text
            assert response.headers["x-modelyard-version"] == version
        stats = service.statement().challenger_stats
        assert (stats.requests, stats.errors, stats.not_finite) == (2, 1, 1)


def test_embeddings(tmp_path: Path) -> None:
    embedding_task.bundle(tmp_path)
    with over_http(tmp_path) as url, openai.OpenAI(base_url=f"{url}/v1", api_key="a", max_retries=0) as client:
        texts = ["ab", "abcd"]
        for options in ({}, {"encoding_format": "float"}):  # without one, the client asks for base64
            found = client.embeddings.create(model="sample", input=texts, **options)  # type: ignore[call-overload]
            assert [one.embedding for one in found.data] == [[195.0, 2.0], [394.0, 4.0]]
            assert [one.index for one in found.data] == [0, 1]
            assert found.usage.total_tokens == 6
        assert client.embeddings.create(model="sample", input="ab").data[0].embedding == [195.0, 2.0]
        with pytest.raises(openai.NotFoundError):
            client.embeddings.create(model="other", input="a")
        bodies: list[dict[str, Any]] = [
            {"input": []}, {"input": [1]}, {"input": "a", "dimensions": 2}, {"input": "a", "encoding_format": "x"},
            {"input": [""]}, {"input": ["a"] * 5}, {"input": "a", "model": None},
        ]  # fmt: skip
        for body in bodies:
            response = httpx.post(f"{url}/v1/embeddings", json={"model": "sample", **body})
            assert (response.status_code, list(response.json())) == (400, ["error"])


def test_a_model_without_embeddings_says_so(url: str) -> None:
    response = httpx.post(f"{url}/v1/embeddings", json={"model": "sample", "input": "a"})
    assert response.status_code == 404
    assert "no embeddings" in response.json()["error"]["message"]
