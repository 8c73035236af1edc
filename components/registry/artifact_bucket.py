"""Whether the bucket that `[servers] artifacts` names can be reached and written to; asked with AWS's own library."""

from __future__ import annotations

import importlib.util
import os
import secrets
from urllib.parse import urlsplit

from components.core.errors import StackError

TIMEOUT_SECONDS = 5


def examine(destination: str) -> None:
    """Write a small object below a destination, and remove it. Nothing is asked if the library is not installed.

    Args:
        destination: s3://BUCKET/FOLDER.

    Raises:
        StackError: there are no keys, the store does not answer, the bucket is not there, or it may not be written to.
    """
    if importlib.util.find_spec("boto3") is None:
        return
    import boto3
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError, ClientError

    place = urlsplit(destination)
    name = f"{place.path.strip('/')}/.modelyard-{secrets.token_hex(8)}".lstrip("/")
    settings = Config(connect_timeout=TIMEOUT_SECONDS, read_timeout=TIMEOUT_SECONDS, retries={"total_max_attempts": 1})
    try:
        # MLflow's own name of the server goes before those of AWS's tools.
        client = boto3.client("s3", endpoint_url=os.environ.get("MLFLOW_S3_ENDPOINT_URL"), config=settings)
        client.put_object(Bucket=place.netloc, Key=name, Body=b"")
        client.delete_object(Bucket=place.netloc, Key=name)
    except (BotoCoreError, ClientError, ValueError) as error:
        raise StackError(
            "the bucket of MLflow's artifacts cannot be written to",
            where=destination,
            got=" ".join(str(error).split()),
            next_step="correct servers.artifacts in modelyard.toml, AWS_ENDPOINT_URL_S3 and the keys of AWS's tools in "
            "the environment of `modelyard up`; the bucket itself has to be there",
        ) from error
