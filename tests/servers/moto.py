"""AWS on loopback: ``moto_server`` from an environment of its own, an S3 bucket, and the variables that point programs at it.

:func:`moto_server` starts one. A test module makes its fixture of it::

    @pytest.fixture(scope="module")
    def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Moto]:
        with moto_server(tmp_path_factory.mktemp("moto")) as server:
            yield server
"""

from __future__ import annotations

import re
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from servers.environments import program

BUCKET = "freight"
REGION = "eu-central-1"
_WITHIN = 60.0
"""Seconds that a busy machine has to start it."""


@dataclass(frozen=True)
class Moto:
    """A server that runs."""

    url: str
    pid: int

    @property
    def variables(self) -> dict[str, str]:
        """What a process needs so that boto3 and Metaflow speak to this server, with credentials that are none."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "METAFLOW_S3_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "moto-asks-for-some",
            "AWS_DEFAULT_REGION": REGION,
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": "/dev/null",
            "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
        }

    @property
    def s3_datastore(self) -> dict[str, str]:
        """:attr:`variables`, and Metaflow's artifacts in the bucket."""
        return {
            **self.variables,
            "METAFLOW_DEFAULT_DATASTORE": "s3",
            "METAFLOW_DATASTORE_SYSROOT_S3": f"s3://{BUCKET}/metaflow",
        }

    def client(self, service: str = "s3") -> Any:
        """A boto3 client that speaks to this server, whatever the environment says."""
        import boto3  # noqa: PLC0415 - only who asks needs it

        return boto3.client(
            service,
            endpoint_url=self.url,
            region_name=REGION,
            aws_access_key_id="testing",
            aws_secret_access_key="moto-asks-for-some",
        )

    def objects(self, prefix: str = "") -> dict[str, bytes]:
        """Every object of the bucket under a prefix, by key."""
        client, found = self.client(), {}
        for page in client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=prefix):
            for entry in page.get("Contents", []):
                found[entry["Key"]] = client.get_object(Bucket=BUCKET, Key=entry["Key"])["Body"].read()
        return found


@contextmanager
def moto_server(folder: Path) -> Iterator[Moto]:
    """A server on a free loopback port with an empty bucket, until the block ends; its log goes to ``folder``."""
    log = folder / "moto.log"
    with log.open("wb") as stream:
        command = [str(program("moto", "moto_server")), "-H", "127.0.0.1", "-p", "0"]
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=stream, stderr=stream)
    try:
        server = Moto(_url(process, log), process.pid)
        server.client().create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION})
        yield server
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(10)


def _url(process: subprocess.Popen[bytes], log: Path) -> str:
    """Where it listens, once it answers: the system chose the port, and the server says which."""
    until = time.monotonic() + _WITHIN
    while time.monotonic() < until and process.poll() is None:
        found = re.search(r"http://127\.0\.0\.1:\d+", log.read_text(errors="replace"))
        if found:
            urllib.request.urlopen(f"{found[0]}/moto-api/", timeout=_WITHIN).close()
            return found[0]
        time.sleep(0.05)
    raise AssertionError(f"moto_server did not start:\n{log.read_text(errors='replace')}")
