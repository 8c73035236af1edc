"""Bad requests for a service, drawn from a seed: lying and truncated files, hostile JSON, broken forms and heads.

A request is the bytes that are sent. Some of what is drawn is valid after all; then the service answers it.
"""

from __future__ import annotations

import base64
import io
import json
import random
import struct
import zlib
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import soundfile
from PIL import Image

JSON = "application/json"
NUMBERS = [
    "NaN", "Infinity", "-Infinity", "1e400", "-1e400", "1" + "0" * 400, "-0", "1e-400", "0x10", "01", ".5", "1.", "+1",
    "9" * 5000, str(2**63), str(2**64), str(-(2**63) - 1), "1e308", "4.9e-324", "1_000", "true", "null",
]  # fmt: skip
TEXTS = [
    "", "\0", "\ufeff", "\ud800", "\udfff", "a" * 100_000, "\u202e", "🎈" * 1000, "\r\n\r\n", "../../etc/passwd",
    "{{7*7}}", "${jndi:ldap://a}", "' OR 1=1 --", "<script>", "\x7f\x1b[31m", "http://127.0.0.1:22/", "%00",
    "file:///etc/passwd", "\u0000\u0001", "\ufdfa" * 3000, "a\u0301" * 5000,
]  # fmt: skip
SOUNDS = [("WAV", "PCM_16"), ("WAV", "FLOAT"), ("FLAC", "PCM_16"), ("OGG", "VORBIS"), ("WAV", "ULAW")]
METHODS = ["GET", "PUT", "DELETE", "TRACE", "CONNECT", "PRI", "X" * 100, "OPTIONS"]
CHUNKS = [b"zz\r\n", b"5\r\nab\r\n0\r\n\r\n", b"ffffffffffffffff\r\n", b"-1\r\n", b"0\r\n\r\n"]
PROTOCOL_PATHS = [
    "/v2/models/sample/infer", "/v2/models/sample/infer", "/invocations", "/invocations", "/v1/completions",
    "/v1/chat/completions", "/v2/models/sample/versions/9/infer", "/v1/x", "/v2/x",
]  # fmt: skip
PATHS = [
    "/" + "a" * 10_000, "/%00", "/../../etc/passwd", "/%2e%2e/", "//predict", "/predict/", "*", "",
    "/predict?" + "a=b&" * 1000, "/\u00e9", "http://b/predict",
]  # fmt: skip
HEADERS = [
    "Content-Encoding: gzip", "Content-Encoding: br", "Expect: 200-ok", "Upgrade: websocket\r\nConnection: Upgrade",
    "Range: bytes=0-",
]  # fmt: skip


class Target(NamedTuple):
    """What is attacked.

    Args:
        kind: image, sound, text, table or series.
        item, items: keys of a JSON request.
        good: a body that is answered, and its media type.
        value: the same as a value of a JSON request.
        parameters: names of parameters.
    """

    kind: str
    item: str
    items: str
    good: tuple[bytes, str]
    value: Any
    parameters: tuple[str, ...] = ()


def requests(target: Target, seed: int) -> Iterator[bytes]:
    """Bad requests without end."""
    dice = random.Random(f"{target.kind} {seed}")
    ways: list[Callable[[random.Random, Target], bytes]] = [json_body, json_body, wrong_values, form, protocols, head]
    if target.kind in ("image", "sound"):
        ways += [file_body, file_body, file_body, file_in_json]
    else:
        ways += [raw_body]
    while True:
        yield dice.choice(ways)(dice, target)


def request(path: str, body: bytes, media: str | None, *headers: str, method: str = "POST") -> bytes:
    """One HTTP request."""
    lines = [f"{method} {path} HTTP/1.1", "Host: a", f"Content-Length: {len(body)}", *headers]
    lines += [f"Content-Type: {media}"] if media is not None else []
    return "\r\n".join(lines).encode("utf-8", "surrogateescape") + b"\r\n\r\n" + body


def mutated(dice: random.Random, content: bytes) -> bytes:
    """Bytes changed in one to four places, cut, doubled, or put together in another order."""
    data = bytearray(content)
    for _ in range(dice.randint(1, 4)):
        if not data:
            break
        place = dice.randrange(len(data))
        way = dice.randrange(7)
        if way == 0:
            data[place] ^= 1 << dice.randrange(8)
        elif way == 1:
            del data[place:]
        elif way == 2:
            del data[place : place + dice.randrange(1, 64)]
        elif way == 3:
            data[place:place] = dice.randbytes(dice.randrange(1, 64))
        elif way == 4:
            width = dice.choice((1, 2, 4, 8))
            data[place : place + width] = dice.choice((b"\xff", b"\0", b"\x7f", b"\x80")) * width
        elif way == 5:
            other = dice.randrange(len(data))
            low, high = sorted((place, other))
            data += data[low:high][:10_000]
        else:
            cut = dice.randrange(len(data))
            data = data[cut:] + data[:cut]
    return bytes(data)


def image_files(dice: random.Random) -> bytes:
    """A small picture of a format drawn, with or without lies about it."""
    size = (dice.randint(1, 40), dice.randint(1, 40))
    mode = dice.choice(["L", "RGB", "RGBA", "P", "1", "I;16", "CMYK", "LA"])
    kind = dice.choice(["PNG", "PNG", "JPEG", "JPEG", "GIF", "BMP", "WEBP", "TIFF"])
    stream = io.BytesIO()
    try:
        Image.new(mode, size, dice.randrange(2)).save(stream, kind)
    except (OSError, ValueError):
        stream = io.BytesIO()
        Image.new("RGB", size).save(stream, "PNG")
    return stream.getvalue()


def lying_png(dice: random.Random) -> bytes:
    """A PNG whose header states a size that its data does not have; its checksums are right."""
    side = dice.choice([0, 1, 8, 5_000, 30_000, 2**31 - 1, 2**32 - 1])
    depth, colour = dice.choice([1, 2, 4, 8, 16, 3, 255]), dice.choice([0, 2, 3, 4, 6, 7])
    data = zlib.compress(bytes(dice.choice([0, 10, 1_000, 100_000])))
    interlace = dice.choice([0, 0, 1, 2])
    header = struct.pack(">IIBBBBB", side, dice.choice([1, side]), depth, colour, 0, 0, interlace)
    chunks = [(b"IHDR", header), (b"IDAT", data), (b"IEND", b"")]
    if dice.random() < 0.3:
        chunks.insert(1, (dice.choice([b"iCCP", b"zTXt", b"acTL", b"PLTE", b"tRNS", b"eXIf"]), dice.randbytes(20)))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        for kind, content in chunks
    )


def lying_jpeg(dice: random.Random) -> bytes:
    """A JPEG whose frame header states another size."""
    stream = io.BytesIO()
    Image.new("RGB", (16, 16)).save(stream, "JPEG")
    data = bytearray(stream.getvalue())
    place = data.find(b"\xff\xc0")
    data[place + 5 : place + 9] = struct.pack(">HH", dice.choice([0, 1, 65_535]), dice.choice([0, 16, 65_535]))
    return bytes(data)


def sound_files(dice: random.Random) -> bytes:
    """A short sound of a format drawn."""
    stream = io.BytesIO()
    kind, coding = dice.choice(SOUNDS)
    samples = np.zeros((dice.randint(1, 4000), dice.randint(1, 2)), np.float32)
    soundfile.write(stream, samples, dice.choice([8000, 44_100]), format=kind, subtype=coding)
    return stream.getvalue()


def lying_wav(dice: random.Random) -> bytes:
    """A WAV whose header lies about sizes, rates, channels or coding."""
    numbers = [0, 1, 2, 16, 255, 65_535]
    large = [0, 1, 8000, 2**31 - 1, 2**32 - 1]
    codings = [0, 1, 2, 3, 6, 7, 17, 85, 65_534]
    form = struct.pack(
        "<HHIIHH", dice.choice(codings), dice.choice(numbers), dice.choice(large), dice.choice(large),
        dice.choice(numbers), dice.choice(numbers),
    )  # fmt: skip
    data = dice.choice([b"", bytes(100), dice.randbytes(1000), struct.pack("<250f", *[float("nan")] * 250)])
    body = b"WAVEfmt " + struct.pack("<I", dice.choice([0, 16, 18, 2**32 - 1])) + form
    body += b"data" + struct.pack("<I", dice.choice([len(data), 0, 2**31, 2**32 - 1])) + data
    return b"RIFF" + struct.pack("<I", dice.choice([len(body), 0, 2**32 - 1])) + body


def bad_file(dice: random.Random, target: Target) -> bytes:
    """A file that is none, or not what it says."""
    if target.kind == "image":
        plain, lying = image_files, dice.choice([lying_png, lying_png, lying_jpeg])
    else:
        plain, lying = sound_files, lying_wav
    way = dice.randrange(6)
    if way == 0:
        return lying(dice)
    if way == 1:
        return dice.randbytes(dice.randrange(2000))
    if way == 2:
        return plain(dice)[: dice.randrange(20)] + dice.randbytes(dice.randrange(200))
    if way == 3:
        return mutated(dice, target.good[0])
    return mutated(dice, mutated(dice, plain(dice)) if way == 4 else plain(dice))


def file_body(dice: random.Random, target: Target) -> bytes:
    """A bad file as a body."""
    media = dice.choice(
        [target.good[1], "application/octet-stream", "image/png", "image/jpeg", "audio/wav", "audio/x", ""]
    )
    return request("/predict", bad_file(dice, target), media)


def file_in_json(dice: random.Random, target: Target) -> bytes:
    """A bad file as base64, and base64 that is none."""
    text = base64.b64encode(bad_file(dice, target)).decode()
    text = dice.choice(
        [text, text, text[:-1], f"data:image/png;base64,{text}", text + "=", "!" + text, text.replace("A", "é")]
    )
    document = dice.choice([{target.item: text}, {target.items: [text, text]}, {target.items: [text, None]}])
    return request("/predict", json.dumps(document).encode(), JSON)


def value(dice: random.Random, depth: int = 0) -> str:
    """JSON, or nearly, of anything."""
    way = dice.randrange(7 if depth < 4 else 3)
    if way == 0:
        return dice.choice(NUMBERS)
    if way in (1, 2):
        return json.dumps(dice.choice(TEXTS))
    if way in (3, 4):
        return "[" + ",".join(value(dice, depth + 1) for _ in range(dice.randrange(5))) + "]"
    if way == 5:
        return (
            "{"
            + ",".join(f"{json.dumps(dice.choice(TEXTS))}:{value(dice, depth + 1)}" for _ in range(dice.randrange(4)))
            + "}"
        )
    opening, count = dice.choice(["[", '{"a":', "[[", '[{"b":']), dice.choice([50, 500, 5_000, 40_000])
    return opening * count + dice.choice(["", "1"]) + dice.choice(["", "]" * count, "}" * count])


def json_body(dice: random.Random, target: Target) -> bytes:
    """JSON of a wrong form, encoding or structure."""
    good = json.dumps({target.item: target.value})
    way = dice.randrange(8)
    if way == 0:
        content = mutated(dice, good.encode())
    elif way == 1:
        content = good.encode(dice.choice(["utf-16", "utf-32", "utf-16-le", "utf-8-sig", "cp037", "utf-7"]))
    elif way == 2:
        content = value(dice).encode("utf-8", "surrogatepass")
    elif way == 3:
        content = dice.randbytes(dice.randrange(500))
    elif way == 4:
        content = (good[:-1] + "," + good[1:]).encode()
    elif way == 5:
        content = (
            b'{"'
            + target.items.encode()
            + b'":['
            + b",".join([json.dumps(target.value).encode()] * dice.choice([0, 100, 300]))
            + b"]}"
        )
    elif way == 6:
        content = (
            b'{"'
            + dice.choice([target.item, "pixels", "x" * 10_000]).encode()
            + b'":'
            + value(dice).encode("utf-8", "replace")
            + b"}"
        )
    else:
        extra = dice.choice(['"parameters"', *[json.dumps(name) for name in target.parameters]])
        content = f'{good[:-1]},"parameters":{{{extra}:{value(dice)}}}}}'.encode("utf-8", "replace")
    media = dice.choice([JSON, JSON, JSON, f"{JSON}; charset=latin-1", "application/xml", "text/plain"])
    return request("/predict", content, media)


def wrong_values(dice: random.Random, target: Target) -> bytes:
    """A JSON request whose value is like a good one, with something else inside."""
    text = json.dumps(target.value)
    pieces = [place for place, letter in enumerate(text) if letter in ",[:"]
    if pieces:
        place = dice.choice(pieces) + 1
        text = (
            text[:place]
            + dice.choice([dice.choice(NUMBERS), json.dumps(dice.choice(TEXTS)), value(dice)])
            + ","
            + text[place:]
        )
    key = dice.choice([target.item, target.items, "pixels"])
    return request("/predict", f'{{"{key}":{text}}}'.encode("utf-8", "replace"), JSON)


def raw_body(dice: random.Random, target: Target) -> bytes:
    """A body that is one sample, of other bytes."""
    content = dice.choice([dice.randbytes(300), dice.choice(TEXTS).encode("utf-8", "surrogatepass"),
                           value(dice).encode("utf-8", "replace"), b"1,2\n3\n", b"nan,inf\n" * 4, b"\xff\xfe1\0,\0",
                           mutated(dice, target.good[0])])  # fmt: skip
    media = dice.choice([target.good[1], "text/plain", "text/csv", "application/octet-stream"])
    return request("/predict", content, media)


def form(dice: random.Random, target: Target) -> bytes:
    """A multipart form: broken, without end, with odd names, or with a bad file."""
    name = dice.choice([target.item, "parameters", "x" * 1000, "", 'a"; filename="b'])
    file = dice.choice(["a.png", "../../etc/passwd", "\0", "é" * 500, ""])
    content = (
        bad_file(dice, target) if target.kind in ("image", "sound") else dice.choice(TEXTS).encode("utf-8", "replace")
    )
    part = (
        f'--b\r\nContent-Disposition: form-data; name="{name}"; filename="{file}"\r\n'.encode()
        + b"\r\n"
        + content
        + b"\r\n"
    )
    whole = part * dice.choice([1, 1, 1, 2, 40]) + b"--b--\r\n"
    if dice.random() < 0.5:
        whole = mutated(dice, whole)
    media = dice.choice(["multipart/form-data; boundary=b", "multipart/form-data; boundary=b", "multipart/form-data",
                         "multipart/form-data; boundary=", "multipart/form-data; boundary=" + "c" * 1000])  # fmt: skip
    return request("/predict", whole, media)


def tensor(dice: random.Random, names: list[str]) -> str:
    """A tensor of the Open Inference Protocol."""
    name = json.dumps(dice.choice(names))
    datatype = dice.choice(['"BYTES"', '"UINT8"', '"FP64"', value(dice)])
    shape = dice.choice(["[1]", "[-1]", "[1,8,8,1]", "[0]", "[1,4,2]", "[99999999999]", value(dice)])
    return f'{{"name":{name},"datatype":{datatype},"shape":{shape},"data":{value(dice)}}}'


def protocols(dice: random.Random, target: Target) -> bytes:
    """Requests of the other protocols, with wrong values."""
    path = dice.choice(PROTOCOL_PATHS)
    if "v2" in path:
        names = [target.item, target.items, "images", "age", "height", "town", "x"]
        tensors = [tensor(dice, names) for _ in range(dice.randrange(1, 4))]
        text = f'{{"inputs":[{",".join(tensors)}],"outputs":{dice.choice(["[]", value(dice)])}}}'
        length = dice.choice(["10", "-1", "99999999", "x", str(len(text))])
        headers = [f"Inference-Header-Content-Length: {length}"] if dice.random() < 0.4 else []
        return request(path, text.encode("utf-8", "replace") + dice.randbytes(dice.randrange(20)), JSON, *headers)
    if path == "/invocations":
        key = dice.choice(["dataframe_split", "dataframe_records", "instances", "inputs", "x"])
        inner = dice.choice(
            [f'{{"columns":{value(dice)},"data":{value(dice)}}}', f'[{{"{target.item}":{value(dice)}}}]', value(dice)]
        )
        media = dice.choice([JSON, JSON, "text/csv"])
        return request(
            path, f'{{"{key}":{inner},"params":{dice.choice(["{}", value(dice)])}}}'.encode("utf-8", "replace"), media
        )
    keys = ["prompt", "messages", "max_tokens", "temperature", "stop", "n", "stream", "seed", "logit_bias"]
    fields = ",".join(f'"{dice.choice(keys)}":{value(dice)}' for _ in range(3))
    return request(path, f'{{"model":"sample",{fields}}}'.encode("utf-8", "replace"), JSON)


def head(dice: random.Random, target: Target) -> bytes:
    """Odd methods, paths, headers, lengths and encodings."""
    body, media = target.good
    way = dice.randrange(10)
    if way == 0:
        return request(
            "/predict",
            body,
            media,
            *[f"X-{number}: {'a' * dice.choice([0, 5])}" for number in range(dice.choice([150, 10_000]))],
        )
    if way == 1:
        return request("/predict", body, media, f"X-A: {'a' * dice.choice([10_000, 100_000])}")
    if way == 2:
        return request(dice.choice(PATHS), body, media)
    if way == 3:
        return request("/predict", body, media, method=dice.choice(METHODS))
    if way == 4:
        return request("/predict", body, media, dice.choice(HEADERS))
    if way == 5:
        return request(
            "/predict", body, media, "X-Modelyard-Timeout-Ms: " + dice.choice(["-1", "x", "nan", "1e400", ""])
        )
    if way == 6:
        return request("/predict", body, media, "X-Modelyard-Version: " + dice.choice(["99", "", "é", "a" * 5000]))
    if way == 7:
        return b"POST /predict HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + dice.choice(CHUNKS)
    if way == 8:
        length = dice.choice([b"-1", b"x", b"99999999999999999999", b"5, 5", b"0"])
        return b"POST /predict HTTP/1.1\r\nHost: a\r\nContent-Length: " + length + b"\r\n\r\n" + body
    return dice.randbytes(dice.randrange(1, 300)) + b"\r\n\r\n"
