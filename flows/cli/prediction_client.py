"""A client of a running service: builds the request for one file or text, sends it, and formats the answer."""

from __future__ import annotations

import base64
import errno
import json
import mimetypes
import os
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import httpx

from components.access import challenge, http_client, project_door
from components.access.secret import Credentials
from components.core.errors import ModelyardError, NotFoundError, SampleError, ServingError, SourceError
from components.core.project import Project

TIMEOUT_SECONDS = 120
API_KEY = "MODELYARD_API_KEY"  # the environment variable with the key that is sent
JSON = "application/json"
_SHOWN_CATEGORIES = 3
SUFFIXES = {
    ".avif", ".bmp", ".csv", ".flac", ".gif", ".gz", ".heic", ".heif", ".jfif", ".jpeg", ".jpg", ".json", ".jsonl",
    ".md", ".mp3", ".npy", ".npz", ".ogg", ".parquet", ".pdf", ".png", ".tif", ".tiff", ".tsv", ".txt", ".wav", ".webp",
    ".xml", ".yaml", ".yml", ".zip",
}  # fmt: skip


class InputSchema(NamedTuple):
    """The inputs that a service accepts.

    Args:
        item, items: key of one sample, and of several, in a JSON request.
        media: accepted media types of a request body, such as `image/*`.
        form: the kind of input: `image`, `sound`, `text` or `json`.
        sample: JSON schema of one sample in a JSON request; {} if it is not known.
        max_samples: most samples of one request.
    """

    item: str
    items: str
    media: list[str]
    form: str
    sample: Mapping[str, Any] = {}
    max_samples: int = 1

    @property
    def is_row(self) -> bool:
        """Whether a sample is a row of a table: an object with a value for each column."""
        return self.sample.get("type") == "object" and bool(self.sample.get("properties"))

    def description(self) -> str:
        """The input in words, for messages."""
        match self.form:
            case "image" | "sound":
                return f"a file ({', '.join(self.media)})"
            case "text":
                return "a text, or a file of text"
        if not self.is_row:
            media = f", or a file of {' or '.join(self.media)}" if self.media else ""
            return f"JSON: the value of {{{json.dumps(self.item)}: ...}} or all of it{media}"
        columns = self.sample["properties"]
        words = ", ".join(f"{name} ({_type_words(schema)})" for name, schema in columns.items())
        example = {name: schema["examples"][0] for name, schema in columns.items() if schema.get("examples")}
        return (
            f"JSON with the keys {words}, such as {json.dumps(example, ensure_ascii=False)}; "
            "or a CSV, TSV, JSON lines or Parquet file with these columns, each row of which is answered"
        )


class EncodedRequest(NamedTuple):
    """One request: its body, the body's media type, and a display name."""

    content: bytes
    media: str
    name: str


def input_schema(url: str) -> InputSchema:
    """The inputs that a running service accepts.

    Raises:
        ServingError: the service does not answer, or serves no model.
    """
    try:
        takes = _ask(url, "GET", "/model").raise_for_status().json()["takes"]
        document = _ask(url, "GET", "/openapi.json").raise_for_status().json()
        content = document["paths"]["/predict"]["post"]["requestBody"]["content"]
        ways = [way["properties"] for way in content[JSON]["schema"]["oneOf"]]
        batch = next(way[takes["items"]] for way in ways if takes["items"] in way)
        return InputSchema(**takes, sample=batch["items"], max_samples=batch.get("maxItems", 1))
    except (httpx.HTTPError, ValueError, KeyError, TypeError, StopIteration) as error:
        raise ServingError("the service does not describe its input", where=url, got=error) from error


def openapi(url: str) -> dict[str, Any]:
    """The OpenAPI document of a running service.

    Raises:
        ServingError: the service does not answer, or serves no model.
    """
    try:
        document: dict[str, Any] = _ask(url, "GET", "/openapi.json").raise_for_status().json()
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
        raise ServingError("the service does not describe itself", where=url, got=error) from error
    return document


def request_for(schema: InputSchema, text: str, parameters: Mapping[str, Any]) -> EncodedRequest:
    """The request for one input: the path of a file, or text if the task accepts text.

    Raises:
        NotFoundError: the file does not exist, and the input looks like a path or is no text that the task accepts.
        SampleError: the task reads rows of a table, and the input is no JSON.
    """
    path = Path(text)
    is_file = _is_file(path)
    if not is_file and _looks_like_path(schema, text):
        raise NotFoundError(
            "no such file", where=text, next_step="correct the path; a text that looks like a path goes in a file"
        )
    numbers = schema.form == "json" and bool(schema.media)
    if not is_file and (schema.form in ("image", "sound") or (numbers and not _may_be_data(text))):
        raise NotFoundError("no such file", got=text, expected="a file, JSON or CSV" if numbers else None)
    name = text if len(text) <= 60 else f"{text[:57]}..."
    content = path.read_bytes() if is_file else text.encode()
    media = _media_type(schema, path) if is_file else "text/plain"
    as_json = media == JSON or parameters or (schema.form == "json" and not is_file)
    if not as_json and _is_accepted(schema, media):
        return EncodedRequest(content, media, name)
    if schema.is_row and not _is_json(content.decode("utf-8", "replace")):
        what = "the file is no JSON" if is_file else "no such file, and no JSON"
        raise SampleError(what, where=name, expected=schema.description())
    document = _document(schema, content)
    if parameters:
        document = {**document, "parameters": dict(parameters)}
    return json_request(document, name)


def json_request(document: Mapping[str, Any], name: str) -> EncodedRequest:
    """The request for a JSON document."""
    return EncodedRequest(json.dumps(document).encode(), JSON, name)


def predict(url: str, request: EncodedRequest) -> dict[str, Any]:
    """Send one request to a service; returns the JSON answer.

    Raises:
        SampleError: the service rejected the input (HTTP 4xx); contains the service's reason.
        ServingError: the service does not answer, or failed (HTTP 5xx).
    """
    try:
        response = _ask(url, "POST", "/predict", content=request.content, headers={"content-type": request.media})
    except httpx.TransportError as error:
        raise ServingError("the service does not answer", where=url, got=error) from error
    if response.is_success:
        answer: dict[str, Any] = response.json()
        return answer
    try:
        reason = response.json()
        reason = reason.get("error", reason)  # as services of earlier bundles say it
        what = reason["message" if "message" in reason else "detail"]
    except (ValueError, KeyError, AttributeError) as error:
        raise ServingError("the service failed", where=url, got=f"HTTP {response.status_code}") from error
    kind: type[ModelyardError] = SampleError if response.is_client_error else ServingError
    about = request.name if response.is_client_error else url
    where = ": ".join(filter(None, (about, reason.get("where"))))
    raise kind(what, where=where, got=reason.get("got"), expected=reason.get("expected"))


def _ask(url: str, method: str, path: str, **request: Any) -> httpx.Response:
    """A service's response, with the key in MODELYARD_API_KEY; where none is set and a key is needed, as its owner.

    Raises:
        ServingError: the service wants a key.
    """
    key = os.environ.get(API_KEY)
    with http_client.client(Credentials("", key, bearer=True) if key else None, url, timeout=TIMEOUT_SECONDS) as client:
        response = client.request(method, path, **request)
    owner = _owner(url) if response.status_code == httpx.codes.UNAUTHORIZED and not key else None
    if owner is not None:
        with http_client.client(owner, url, timeout=TIMEOUT_SECONDS) as client:
            response = client.request(method, path, **request)
    if response.status_code in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN):
        raise ServingError(
            "the service wants an API key" if not key else "the service refuses this API key", where=url,
            next_step=f"set {API_KEY} to a key of the service; `modelyard keys add` makes one",
        )  # fmt: skip
    return response


def _owner(url: str) -> Credentials | None:
    """The project's secret, if the service has shown that it knows it."""
    try:
        secret = project_door.secret_of(Project.find())
    except ModelyardError:
        return None
    address = httpx.URL(url)
    is_ours = secret is not None and challenge.is_ours(address.host, address.port or 80, secret)
    return Credentials("", secret) if secret is not None and is_ours else None


def describe(prediction: Mapping[str, Any], version: str) -> str:
    """A prediction as one line of text, with its conformal set or interval, whether it is rejected, and the columns
    whose category train does not know.

    Args:
        version: text in brackets after the prediction.
    """
    return f"{_answer_line(prediction, version)}{_certainty(prediction)}"


def _certainty(prediction: Mapping[str, Any]) -> str:
    """What a decision and a conformal prediction add to a line; of a forecast, the service's answer has the limits."""
    found = "  REJECTED: no class is likely enough" if prediction.get("rejected") else ""
    if "set" in prediction:
        found += f"  set: {', '.join(map(str, prediction['set']))}"
    interval = prediction.get("interval", {})
    if isinstance(interval.get("lower"), int | float):
        found += f"  {interval['coverage']:.4g} interval: {interval['lower']:.6g} to {interval['upper']:.6g}"
    if prediction.get("unknown_categories"):
        found += f"  unknown categories: {', '.join(map(str, prediction['unknown_categories']))}"
    return found


def _answer_line(prediction: Mapping[str, Any], version: str) -> str:
    if "label" in prediction:
        probability = prediction.get("probabilities", {}).get(prediction["label"])
        return f"{prediction['label']}  ({'' if probability is None else f'{probability:.3f}, '}{version})"
    if "value" in prediction:
        return f"{prediction['value']:.6g}  ({version})"
    if "labels" in prediction and "scores" in prediction:
        found = ", ".join(f"{label} {prediction['scores'][label]:.3f}" for label in prediction["labels"])
        return f"{found or 'no label'}  ({version})"
    if "spans" in prediction:
        spans = ", ".join(f"{span.get('text', '')} [{span['label']}]" for span in prediction["spans"])
        return f"{spans or 'nothing found'}  ({version})"
    if "boxes" in prediction:
        count = Counter(box["label"] for box in prediction["boxes"])
        return f"{', '.join(f'{n} {label}' for label, n in count.most_common()) or 'nothing found'}  ({version})"
    if "mask" in prediction and "classes" in prediction:
        rows = sorted(prediction["classes"], key=lambda row: -row["share"])
        shares = ", ".join(f"{row['share']:.1%} {row['label']}" for row in rows if row["share"] > 0)
        return f"{shares}  ({version})"
    if "text" in prediction:
        return f"{prediction['text']}  ({version})"
    if "values" in prediction:
        rows = prediction["values"]
        first = ", ".join(f"{value:.4g}" for value in (rows[0] if isinstance(rows[0], list) else rows[:8]))
        return f"{len(rows)} rows, the first: {first}  ({version})"
    return f"{json.dumps(prediction, ensure_ascii=False)}  ({version})"


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:  # a text, not a path
            return False
        raise SourceError("the file cannot be read", where=str(path), got=error.strerror) from error


def _looks_like_path(schema: InputSchema, text: str) -> bool:
    """Whether an input is meant as a path: one word with a path separator or a known file suffix.

    An input with spaces is a path only if it has a known suffix and its folder exists.
    """
    if "\n" in text or "://" in text or _is_json(text):
        return False
    path = Path(text)
    has_file_suffix = path.suffix.lower() in SUFFIXES
    if any(map(str.isspace, text)):
        return has_file_suffix and "/" in text and path.parent.is_dir()
    if has_file_suffix or text.startswith(("/", "./", "../", "~/")):
        return True
    return "/" in text and schema.form == "text"  # elsewhere a label may be meant, such as T-shirt/top


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def _may_be_data(text: str) -> bool:
    """Whether a text may be JSON or CSV rather than a file's name."""
    return _is_json(text) or "," in text or "\n" in text or not text.strip()


def _media_type(schema: InputSchema, path: Path) -> str:
    guess = mimetypes.guess_type(path.name)[0] or ""
    if guess == JSON or _is_accepted(schema, guess):
        return guess
    return next((media for media in schema.media if "*" not in media), JSON)


def _is_accepted(schema: InputSchema, media: str) -> bool:
    return any(
        media == pattern or (pattern.endswith("/*") and media.startswith(pattern[:-1])) for pattern in schema.media
    )


def _document(schema: InputSchema, content: bytes) -> dict[str, Any]:
    """The JSON request for an input; content that is a JSON request already is returned unchanged."""
    if schema.form in ("image", "sound"):
        return {schema.item: base64.b64encode(content).decode()}
    text = content.decode("utf-8", "replace")
    if schema.form == "text":
        return {schema.item: text}
    try:
        value = json.loads(text)
    except ValueError:
        value = text
    columns = schema.sample.get("properties", {}) if schema.is_row else {}
    keys = {schema.item, schema.items} - set(columns)  # a column may have the name of the key
    if isinstance(value, dict) and keys & set(value):
        return value
    is_list_of_rows = schema.is_row and isinstance(value, list)
    return {schema.items if is_list_of_rows else schema.item: value}


def _type_words(schema: Mapping[str, Any]) -> str:
    """The type of a column in words, with a few of its categories."""
    types = schema.get("type", [])
    types = [types] if isinstance(types, str) else list(types)
    words = "number" if "number" in types else "text"
    examples = [str(example) for example in schema.get("examples", ())[:_SHOWN_CATEGORIES]]
    if words == "text" and examples:
        words += ": " + ", ".join(examples) + (", ..." if len(schema["examples"]) > _SHOWN_CATEGORIES else "")
    return words + (" or null" if "null" in types else "")
