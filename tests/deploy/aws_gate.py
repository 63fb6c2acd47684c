"""A gate before moto's Step Functions and EventBridge: it writes down what is asked, refuses what it is told to, and says no
where AWS does and moto does not.

AWS refuses to create a state machine that is there with another definition, and Metaflow then updates it; moto would give back
the first one, and no change would ever reach it.
"""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

from servers.moto import Moto

WRITES = ("Create", "Update", "Delete", "Tag", "Untag", "Put", "Remove", "Enable", "Disable")


@dataclass
class AwsGate:
    """What went through it."""

    aws: Moto
    writes: list[str] = field(default_factory=list)
    """What was changed: ``UpdateStateMachine shop.prod.Nightly``, in order."""
    forbidden: tuple[str, ...] = ()
    """Requests, by their beginning, that are answered as AWS answers who has no right."""
    on_write: Callable[[str], None] = lambda _: None
    """Called when a request has done its work, before it is answered."""
    url: str = ""

    @property
    def variables(self) -> dict[str, str]:
        """What sends boto3 through the gate; S3 goes to moto directly."""
        return {"AWS_ENDPOINT_URL_SFN": self.url, "AWS_ENDPOINT_URL_EVENTBRIDGE": self.url}

    def answer(self, headers: dict[str, str], body: bytes) -> tuple[int, bytes]:
        """One request, one answer."""
        said = json.loads(body or b"{}")
        label = f"{headers['x-amz-target'].rpartition('.')[2]} {_name(said)}".strip()
        if label.startswith(self.forbidden or ("nothing",)):
            action = f"states:{label.partition(' ')[0]}"
            return 400, _refusal("AccessDeniedException", f"User: tester is not authorized to perform: {action}")
        arn = self._there_otherwise(said) if label.startswith("CreateStateMachine ") else ""
        if arn:  # in AWS's words: Metaflow reads the name from between the quotes
            return 400, _refusal("StateMachineAlreadyExists", f"State Machine Already Exists: '{arn}'")
        code, raw = self._passed_on(headers, body)
        if label.startswith(WRITES) and code == 200:
            self.writes.append(label)
            self.on_write(label)
        return code, raw

    def _there_otherwise(self, said: dict[str, Any]) -> str:
        """The machine of that name, when it has another definition."""
        client = self.aws.client("stepfunctions")
        arns = {one["name"]: one["stateMachineArn"] for one in client.list_state_machines()["stateMachines"]}
        arn: str = arns.get(said["name"], "")
        there = client.describe_state_machine(stateMachineArn=arn) if arn else said
        return "" if (there["definition"], there["roleArn"]) == (said["definition"], said["roleArn"]) else arn

    def _passed_on(self, headers: dict[str, str], body: bytes) -> tuple[int, bytes]:
        line = http.client.HTTPConnection(urlsplit(self.aws.url).netloc, timeout=60)
        try:
            line.request("POST", "/", body, headers)
            answer = line.getresponse()
            return answer.status, answer.read()
        finally:
            line.close()


def _name(said: dict[str, Any]) -> str:
    """Whatever a request is about."""
    about = next((said[key] for key in ("name", "stateMachineArn", "resourceArn", "Name", "Rule") if key in said), "")
    return str(about).rpartition(":")[2]


def _refusal(kind: str, message: str) -> bytes:
    return json.dumps({"__type": kind, "message": message}).encode()


@contextmanager
def aws_gate(aws: Moto) -> Iterator[AwsGate]:
    """A gate on a free port, until the block ends."""
    gate = AwsGate(aws)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: Any) -> None:
            pass

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            headers = {key.lower(): value for key, value in self.headers.items() if key.lower() != "host"}
            code, raw = gate.answer(headers, body)
            self.send_response(code)
            self.send_header("content-type", "application/x-amz-json-1.0")
            self.send_header("content-length", str(len(raw)))
            self.end_headers()
            self.wfile.write(raw)

    class Server(ThreadingHTTPServer):
        def handle_error(self, *_: Any) -> None:
            """Who asked may be dead by now: a test has killed it."""

    server = Server(("127.0.0.1", 0), Handler)
    gate.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield gate
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
