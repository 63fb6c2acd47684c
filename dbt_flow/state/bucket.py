"""State in a bucket of S3, or of a store that speaks its language: the same verbs as the folder has.

Every document is one object, written whole: a reader never sees half of one. Exactly one of many writers wins
``put_if_absent``, because S3 itself decides (``If-None-Match: *``; MinIO, Ceph and R2 know it too). Logs are made of
segments: see :mod:`.segments`.

What S3 answers for a moment is tried again: by botocore (its standard mode, five attempts, with waits that grow; the variables
``AWS_RETRY_MODE`` and ``AWS_MAX_ATTEMPTS`` say otherwise), and here where a body ends too early. What it goes on answering is
one error with what to do. boto3 is loaded when the first store is opened, and for who keeps state in a bucket alone.
"""

from __future__ import annotations

import builtins
import os
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timezone
from functools import cached_property, partial
from importlib import import_module
from typing import Any, TypeVar

from dbt_flow.errors import StateError
from dbt_flow.state.segments import Log, Writer, is_log
from dbt_flow.state.store import FolderStore, as_it_rests

_CONNECT_WITHIN, _ANSWER_WITHIN = 5, 20  # seconds, for each attempt
_ATTEMPTS = 5
_BODIES = 3  # times that a body which ends too early is asked for again
_CONNECTIONS = 16
_DELETED_AT_ONCE = 1000

T = TypeVar("T")


class _BrokenOffError(Exception):
    """A body that ended too early, or came too slowly: botocore asks again for an answer, not for the rest of one."""

    def __init__(self, error: Exception) -> None:
        super().__init__(str(error))
        self.error = error


class BucketStore:
    """A store in ``s3://bucket/prefix``. It may be used by many threads."""

    look_every = 2.0
    """Seconds between two looks of who waits for news: each look costs requests."""

    def __init__(self, url: str, local: FolderStore) -> None:
        """:param local: for what only this machine can know: locks, and files of its processes."""
        self.url, self.local = url.rstrip("/"), local
        self.bucket, _, prefix = self.url.removeprefix("s3://").partition("/")
        self.prefix = f"{prefix}/" if prefix else ""
        self._writer = Writer(self)
        self._logs: dict[str, Log] = {}

    def __repr__(self) -> str:
        return f"BucketStore({self.url!r})"

    # ---- documents

    def get(self, key: str) -> bytes | None:
        """See :class:`~dbt_flow.state.store.Store`."""
        return self._log(key).read() if is_log(key) else self.fetch(key)

    def put(self, key: str, value: bytes) -> None:
        """See :class:`~dbt_flow.state.store.Store`."""
        self.place(key, as_it_rests(key, value))

    def put_if_absent(self, key: str, value: bytes) -> bool:
        """See :class:`~dbt_flow.state.store.Store`.

        A first try whose answer was lost may have written it: then the mark that this call left on the object says so.
        """
        mark = uuid.uuid4().hex
        written = self._asked(
            f"write {key}",
            lambda s3: s3.put_object(
                Bucket=self.bucket,
                Key=self.prefix + key,
                Body=as_it_rests(key, value),
                IfNoneMatch="*",
                Metadata={"writer": mark},
            ),
            {"PreconditionFailed": False, "412": False},
        )
        if written is not False:
            return True
        found = self._asked(
            f"read {key}", lambda s3: s3.head_object(Bucket=self.bucket, Key=self.prefix + key), {"404": {}, "NoSuchKey": {}}
        )
        return bool(found.get("Metadata", {}).get("writer") == mark)

    def list(self, prefix: str) -> builtins.list[str]:
        """See :class:`~dbt_flow.state.store.Store`."""
        return sorted({name for name, _ in self._under(prefix)})

    def older(self, prefix: str, seconds: float) -> builtins.list[str]:
        """See :class:`~dbt_flow.state.store.Store`."""
        before = datetime.fromtimestamp(time.time() - seconds, timezone.utc)
        return sorted(name for name, at in self._under(prefix) if at is not None and at < before)

    def drop(self, key: str) -> None:
        """See :class:`~dbt_flow.state.store.Store`."""
        self.remove([key, *(entry["Key"][len(self.prefix) :] for entry in self.objects(f"{key}/"))])

    # ---- logs

    def append(self, key: str, value: bytes, *, soon: bool = False) -> None:
        """See :class:`~dbt_flow.state.store.Store`."""
        self._writer.add(key, as_it_rests(key, value), soon=soon)

    def trim(self, key: str, keep: int) -> None:
        """See :class:`~dbt_flow.state.store.Store`."""
        self._log(key).compact(keep)

    def flush(self) -> None:
        """See :class:`~dbt_flow.state.store.Store`."""
        self._writer.flush()

    def logs(self, prefix: str) -> dict[str, str]:
        """See :class:`~dbt_flow.state.store.Store`; one request for each thousand segments."""
        found: dict[str, builtins.list[str]] = {}
        for entry in self.objects(f"{prefix}/" if prefix else ""):
            log, _, segment = entry["Key"][len(self.prefix) :].rpartition("/")
            if is_log(log):
                found.setdefault(log, []).append(f"{segment} {entry['ETag']}")
        return {log: "\n".join(parts) for log, parts in found.items()}

    def mark(self, prefix: str) -> str | None:  # noqa: ARG002 - see there
        """See :class:`~dbt_flow.state.store.Store`."""
        return None

    def _log(self, key: str) -> Log:
        return self._logs.setdefault(key, Log(self, key))

    # ---- objects, as logs are made of them

    def fetch(self, key: str) -> bytes | None:
        """An object's bytes; None when there is none. A body that breaks off is asked for again."""

        def read(s3: Any) -> bytes:
            body = s3.get_object(Bucket=self.bucket, Key=self.prefix + key)["Body"]
            boto: Any = import_module("botocore.exceptions")
            try:
                return bytes(body.read())
            except (
                boto.IncompleteReadError,
                boto.ReadTimeoutError,
                boto.ResponseStreamingError,
                boto.FlexibleChecksumError,
            ) as error:
                raise _BrokenOffError(error) from error

        found: bytes | None = self._asked(f"read {key}", read, {"NoSuchKey": None, "404": None})
        return found

    def place(self, key: str, value: bytes, *, if_absent: bool = False) -> bool:
        """Write an object; says whether it did (with ``if_absent`` another may have been first)."""
        more = {"IfNoneMatch": "*"} if if_absent else {}
        done = self._asked(
            f"write {key}",
            lambda s3: s3.put_object(Bucket=self.bucket, Key=self.prefix + key, Body=value, **more),
            {"PreconditionFailed": False, "412": False} if if_absent else {},
        )
        return done is not False

    def objects(self, prefix: str) -> Iterator[dict[str, Any]]:
        """Every object whose key begins so: ``Key`` with the store's own prefix, ``ETag``, ``LastModified``, ``Size``."""
        for page in self._pages(prefix):
            yield from page.get("Contents", ())

    def remove(self, keys: Sequence[str]) -> None:
        """Remove objects; one that is not there is no error."""
        for first in range(0, len(keys), _DELETED_AT_ONCE):
            some = {"Objects": [{"Key": self.prefix + key} for key in keys[first : first + _DELETED_AT_ONCE]], "Quiet": True}
            self._asked(f"remove {keys[first]}", partial(_delete, self.bucket, some))

    def _under(self, prefix: str) -> Iterator[tuple[str, datetime | None]]:
        """The names directly under a prefix; with its time, where a name is an object's."""
        start = f"{prefix.rstrip('/')}/" if prefix else ""
        cut = len(self.prefix) + len(start)
        for page in self._pages(start, "/"):
            names: builtins.list[tuple[str, datetime | None]] = [
                (entry["Key"], entry["LastModified"]) for entry in page.get("Contents", ())
            ]
            names += [(entry["Prefix"], None) for entry in page.get("CommonPrefixes", ())]
            for name, at in names:
                bare = name[cut:].rstrip("/")
                if bare and not bare.startswith("."):
                    yield bare, at

    def _pages(self, prefix: str, delimiter: str = "") -> Iterator[dict[str, Any]]:
        asked: dict[str, Any] = {"Bucket": self.bucket, "Prefix": self.prefix + prefix}
        if delimiter:
            asked["Delimiter"] = delimiter
        while True:
            page = self._asked(f"list {prefix or 'it'}", lambda s3: s3.list_objects_v2(**asked))
            yield page
            if not page.get("IsTruncated"):
                return
            asked["ContinuationToken"] = page["NextContinuationToken"]

    # ---- asking

    @cached_property
    def _client(self) -> Any:
        return _client()

    def _asked(self, what: str, ask: Callable[[Any], Any], answers: dict[str, Any] | None = None) -> Any:
        """What S3 answers.

        :param what: the request in words, for the error.
        :param answers: codes that are no error, with what they mean.
        :raises StateError: it refuses, or does not answer, also when asked again.
        """
        boto: Any = import_module("botocore.exceptions")
        broken: Exception | None = None
        for _ in range(_BODIES):
            try:
                return ask(self._client)
            except _BrokenOffError as error:
                broken = error.error
            except boto.ClientError as error:
                code = str(error.response.get("Error", {}).get("Code", ""))
                if answers and code in answers:
                    return answers[code]
                if code == "ConditionalRequestConflict":  # two writers at the same moment: S3 wants to be asked again
                    broken = error
                    continue
                raise self._refused(what, code, error) from error
            except (boto.BotoCoreError, OSError, ValueError) as error:
                raise self._refused(what, type(error).__name__, error) from error
        assert broken is not None  # noqa: S101 - the loop ran
        raise self._refused(what, type(broken).__name__, broken) from broken

    def _refused(self, what: str, code: str, error: Exception) -> StateError:
        said = {
            **_WHY,
            "NoSuchBucket": ("there is no such bucket", "make the bucket, or name another: state: s3://BUCKET/PREFIX"),
            "404": ("there is no such bucket", "make the bucket, or name another: state: s3://BUCKET/PREFIX"),
        }
        why, hint = said.get(code, ("", _AGAIN))
        facts = (getattr(error, "response", None) or {}).get("ResponseMetadata", {})
        status, tries = facts.get("HTTPStatusCode"), facts.get("RetryAttempts")
        words = why or (f"S3 answers {status} {code}".rstrip() if status else f"S3 does not answer: {error}")
        if tries and not why:
            words += f", {tries + 1} times"
        return StateError("state-unreachable", f"state in {self.url}: cannot {what}: {words}", hint=hint)


_AGAIN = "see whether the store answers: aws s3 ls; what was recorded is kept, so run it again then: dbt-flow retry RUN"
_KEYS = (
    "give credentials that hold: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, a profile (AWS_PROFILE), or the machine's role"
)
_RIGHT = (
    "allow s3:GetObject, s3:PutObject, s3:DeleteObject and s3:ListBucket on it to who runs this: aws sts get-caller-identity"
)
_REGION = "name the bucket's region: AWS_DEFAULT_REGION; for another store than AWS its address: AWS_ENDPOINT_URL_S3"
_WHY: dict[str, tuple[str, str]] = {
    "NoCredentialsError": ("there are no AWS credentials", _KEYS),
    "PartialCredentialsError": ("half of the AWS credentials are missing", _KEYS),
    "ProfileNotFound": ("the profile that AWS_PROFILE names is not in the AWS configuration", _KEYS),
    "CredentialRetrievalError": ("the AWS credentials cannot be had", _KEYS),
    "TokenRetrievalError": ("the AWS login has expired", "log in again: aws sso login"),
    "SSOTokenLoadError": ("the AWS login has expired", "log in again: aws sso login"),
    "UnauthorizedSSOTokenError": ("the AWS login has expired", "log in again: aws sso login"),
    "ExpiredToken": ("the AWS credentials have expired", _KEYS),
    "ExpiredTokenException": ("the AWS credentials have expired", _KEYS),
    "InvalidAccessKeyId": ("the AWS access key is not known", _KEYS),
    "InvalidToken": ("the AWS session token is not good", _KEYS),
    "SignatureDoesNotMatch": ("the AWS secret key is wrong", _KEYS),
    "AccessDenied": ("no permission", _RIGHT),
    "403": ("no permission", _RIGHT),
    "NoRegionError": ("no AWS region is set", _REGION),
    "PermanentRedirect": ("the bucket is in another region", _REGION),
    "301": ("the bucket is in another region", _REGION),
    "AuthorizationHeaderMalformed": ("the bucket is in another region", _REGION),
    "IllegalLocationConstraintException": ("the bucket is in another region", _REGION),
    "NotImplemented": (
        "the store does not know a request that is needed",
        "use one that knows If-None-Match: S3, or a MinIO of 2024 or later",
    ),
    "MissingDependencyException": ("a package for this login is not installed", "pip install 'botocore[crt]'"),
}


def _delete(bucket: str, what: Mapping[str, Any], s3: Any) -> Any:
    return s3.delete_objects(Bucket=bucket, Delete=what)


def _client() -> Any:
    """boto3's client, with times that a run can wait.

    :raises StateError: ``missing-extra`` without boto3.
    """
    try:
        boto3, botocore = import_module("boto3"), import_module("botocore")
    except ImportError as error:
        raise StateError("missing-extra", "state in S3 needs boto3", hint="pip install boto3") from error
    retries: dict[str, Any] = {
        "mode": os.environ.get("AWS_RETRY_MODE") or "standard",
        "total_max_attempts": int(os.environ.get("AWS_MAX_ATTEMPTS") or _ATTEMPTS),
    }
    # Checksums where S3 wants them: stores that speak its language do not all know the newer ones.
    sums = {
        "request_checksum_calculation": os.environ.get("AWS_REQUEST_CHECKSUM_CALCULATION") or "when_required",
        "response_checksum_validation": os.environ.get("AWS_RESPONSE_CHECKSUM_VALIDATION") or "when_required",
    }
    config = import_module("botocore.config").Config(
        **sums, connect_timeout=_CONNECT_WITHIN, read_timeout=_ANSWER_WITHIN, retries=retries, max_pool_connections=_CONNECTIONS
    )
    try:
        # A session of its own: boto3's shared one is not made for threads.
        return boto3.session.Session().client("s3", config=config)
    except (botocore.exceptions.BotoCoreError, ValueError) as error:
        why, hint = _WHY.get(type(error).__name__, (str(error), _REGION))
        raise StateError("state-unreachable", f"state in S3: {why}", hint=hint) from error
