"""A shop whose runs are told, and who listens: PagerDuty over TLS and a webhook."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from shop import Shop, open_shop
from udp_listeners import PagerDuty, self_signed, web

ROUTING_KEY = "r0ut1ngk3y0f0ur0wn4ndn0b0dy3ls35"
SETTINGS = {
    "owners": {"shopkeepers": {"pagerduty": "PD_SHOP", "webhook": "HOOK_SHOP"}},
    "alerts": {"watched_by": "serve"},
    "links": {"card": "https://cards.example/{target}/{dag}/{run}"},
}
LOUD = {"owner": "shopkeepers", "select": "*", "alerts": {"page": "error"}}

Listening = tuple[PagerDuty, Any, dict[str, str]]


def open_told(folder: Path, dags: Mapping[str, Mapping[str, Any]] | None = None, **files: str) -> Shop:
    shop = open_shop(folder, dags={"shop": LOUD, **(dags or {})})
    (folder / "dbt_flow.yml").write_text(yaml.safe_dump({**SETTINGS, "dbt_projects": ["."]}))
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return shop


def until(true: Callable[[], Any], within: float = 180.0) -> Any:
    """What ``true`` gives as soon as it gives something; its last answer when it never did."""
    end = time.monotonic() + within
    while not (found := true()) and time.monotonic() < end:
        time.sleep(0.1)
    return found


@contextmanager
def who_listens(folder: Path) -> Iterator[Listening]:
    """PagerDuty and a webhook that listen, and the variables by which a run finds them."""
    certificate, tls = self_signed(folder)
    duty = PagerDuty()
    with web(duty, tls) as pager, web(lambda _: (200, {}, {})) as hook:
        environ = {
            "SSL_CERT_FILE": str(certificate),
            "DBT_FLOW_PAGERDUTY_URL": pager.url,
            "PD_SHOP": ROUTING_KEY,
            "HOOK_SHOP": f"{hook.url}/h00k-s3cr3t-p4th",
        }
        yield duty, hook, environ
