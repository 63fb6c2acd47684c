"""Telling of a deployment: told when it is taken; else why not, in words, in bounded time; the switch stays as it is."""

from __future__ import annotations

import sys
from pathlib import Path

from loopback_hook import Hook, hooked

sys.path.insert(0, str(Path(__file__).parents[2] / "training"))
from deploy_webhook import tell

DOCUMENT = {"model": "carrier_risk", "kind": "variant"}


def test_good_bad_and_silent() -> None:
    with hooked(Hook([200, 500, "never", 302])) as hook:
        assert tell(hook.url, DOCUMENT) is None
        assert tell(hook.url, DOCUMENT) == "it answered 500"
        assert tell(hook.url, DOCUMENT, patience=0.3) == "no answer within 0.3 s"
        assert tell(hook.url, DOCUMENT) == "it answered 302"  # told elsewhere is not told here
        assert hook.heard == [DOCUMENT] * 4
        port = hook.url.split(":")[2].split("/")[0]
    assert "refused" in (tell(f"http://127.0.0.1:{port}", DOCUMENT) or "")
    for wrong in ("ftp://127.0.0.1/x", "127.0.0.1:80/x", "file:///etc/passwd", "http://127.0.0.1:port/", ""):
        assert tell(wrong, DOCUMENT)
