"""Kubernetes' API on loopback, for Argo's custom resources: it keeps them, serves them, and writes down every request."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

GROUP = "/apis/argoproj.io/v1alpha1/namespaces"
PLURALS = ("workflowtemplates", "cronworkflows", "sensors", "workflows")


@dataclass(frozen=True)
class Request:
    """One request, as it came."""

    method: str
    path: str
    body: dict[str, Any] | None

    @property
    def label(self) -> str:
        """``PUT workflowtemplates/shop.prod.nightly``."""
        return f"{self.method} {'/'.join(self.path.split('/')[6:])}"


@dataclass
class KubernetesApi:
    """The cluster: what is in it, what was asked, and whom it refuses."""

    kept: dict[str, dict[str, Any]] = field(default_factory=dict)
    """By path: ``/apis/argoproj.io/v1alpha1/namespaces/default/sensors/NAME``."""
    requests: list[Request] = field(default_factory=list)
    forbidden: tuple[str, ...] = ()
    """Requests, by the beginning of their label, that are answered with 403."""
    on_write: Callable[[str], None] = lambda _: None
    """Called with a label when a request has done its work, before it is answered."""
    lock: threading.Lock = field(default_factory=threading.Lock)
    url: str = ""

    def of_kind(self, plural: str) -> dict[str, dict[str, Any]]:
        """The resources of one kind, by name."""
        return {path.rpartition("/")[2]: one for path, one in self.kept.items() if path.split("/")[-2] == plural}

    @property
    def writes(self) -> list[str]:
        """What was changed, in order."""
        return [one.label for one in self.requests if one.method != "GET"]

    def kubeconfig(self, file: Path) -> Path:
        """A kubeconfig that points at it."""
        cluster = {"name": "loopback", "cluster": {"server": self.url}}
        context = {"name": "loopback", "context": {"cluster": "loopback", "user": "tester", "namespace": "default"}}
        document = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [cluster],
            "users": [{"name": "tester", "user": {}}],
            "contexts": [context],
            "current-context": "loopback",
        }
        file.write_text(json.dumps(document))
        return file

    def answer(self, method: str, path: str, body: dict[str, Any] | None) -> tuple[int, dict[str, Any]]:
        """One request, one answer."""
        with self.lock:
            request = Request(method, path, body)
            if request.label.startswith(self.forbidden or ("nothing",)):
                message = f'{_plural(path)}.argoproj.io is forbidden: User "tester" cannot {method.lower()} resource'
                return 403, _status("Forbidden", message, 403)
            self.requests.append(request)
            if method == "POST" and body is not None:
                return self._post(path, body)
            if method in ("PUT", "PATCH") and body is not None:
                return self._write(method, path, body)
            if method == "DELETE":
                found = self.kept.pop(path, None)
                return (404, _status("NotFound", f"{path} not found", 404)) if found is None else (200, _status("Success"))
            return self._get(path)

    def _post(self, path: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        metadata = body["metadata"]
        metadata.setdefault("name", f"{metadata.get('generateName', '')}{len(self.kept):05d}")
        key = f"{path}/{metadata['name']}"
        if key in self.kept:
            return 409, _status("AlreadyExists", f"{key} already exists", 409)
        metadata["resourceVersion"] = "1"
        self.kept[key] = body
        return 201, body

    def _write(self, method: str, path: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        before = self.kept.get(path)
        if before is None:
            return 404, _status("NotFound", f"{path} not found", 404)
        version = before["metadata"]["resourceVersion"]
        if method == "PUT" and body["metadata"].get("resourceVersion") != version:
            return 409, _status("Conflict", "the object has been modified", 409)
        after = body if method == "PUT" else _merged(before, body)
        after["metadata"] |= {"resourceVersion": str(int(version) + 1), "name": path.rpartition("/")[2]}
        self.kept[path] = after
        return 200, after

    def _get(self, path: str) -> tuple[int, dict[str, Any]]:
        if path in self.kept:
            return 200, self.kept[path]
        if path.rpartition("/")[2] in PLURALS:
            items = [one for key, one in sorted(self.kept.items()) if key.startswith(f"{path}/")]
            return 200, {"apiVersion": "argoproj.io/v1alpha1", "kind": "List", "metadata": {}, "items": items}
        return 404, _status("NotFound", f"{path} not found", 404)


def _plural(path: str) -> str:
    parts = path.removeprefix(GROUP).split("/")
    return parts[2] if len(parts) > 2 else path


def _status(reason: str, message: str = "", code: int = 200) -> dict[str, Any]:
    status = "Success" if code == 200 else "Failure"
    return {"kind": "Status", "apiVersion": "v1", "status": status, "reason": reason, "message": message, "code": code}


def _merged(before: Any, patch: Any) -> Any:
    """RFC 7386, as Kubernetes merges custom resources."""
    if not isinstance(patch, dict):
        return patch
    after = dict(before) if isinstance(before, dict) else {}
    for key, value in patch.items():
        if value is None:
            after.pop(key, None)
        else:
            after[key] = _merged(after.get(key), value)
    return after


@contextmanager
def kubernetes_api() -> Iterator[KubernetesApi]:
    """One cluster on a free port, until the block ends."""
    api = KubernetesApi()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: Any) -> None:
            pass

        def _handle(self) -> None:
            length = int(self.headers.get("content-length") or 0)
            body = json.loads(self.rfile.read(length)) if length else None
            path = urlsplit(self.path).path
            code, document = api.answer(self.command, path, body if isinstance(body, dict) else None)
            if self.command != "GET" and code < 300:
                api.on_write(Request(self.command, path, None).label)
            raw = json.dumps(document).encode()
            self.send_response(code)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(raw)))
            self.end_headers()
            self.wfile.write(raw)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _handle

    class Server(ThreadingHTTPServer):
        def handle_error(self, *_: Any) -> None:
            """Who asked may be dead by now: a test has killed it."""

    server = Server(("127.0.0.1", 0), Handler)
    api.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield api
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
