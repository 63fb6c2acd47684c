"""Tell a CI system, or whoever has to know, of a deployment: one POST, bounded in time as a whole."""

import http.client
import json
import threading
import urllib.parse

PATIENCE = 5.0
"""Seconds, from the connection to the answer. A server that sends its answer byte by byte is not waited for longer."""


def tell(url: str, document: dict, patience: float = PATIENCE):
    """POST ``document`` as JSON; None when it was taken, else why not, in words. Never raises."""
    said: list = []
    thread = threading.Thread(target=lambda: said.append(_post(url, document, patience)), daemon=True)
    thread.start()
    thread.join(patience)
    return said[0] if said else f"no answer within {patience:g} s"


def _post(url: str, document: dict, patience: float):
    try:
        where = urllib.parse.urlsplit(url)
        kinds = {"http": http.client.HTTPConnection, "https": http.client.HTTPSConnection}
        if where.scheme not in kinds or not where.hostname:
            return "it is no HTTP address"
        connection = kinds[where.scheme](where.hostname, where.port, timeout=patience)
        path = urllib.parse.urlunsplit(("", "", where.path or "/", where.query, ""))
        connection.request("POST", path, json.dumps(document), {"Content-Type": "application/json"})
        status = connection.getresponse().status
        connection.close()
    except TimeoutError:
        return f"no answer within {patience:g} s"
    except (OSError, ValueError, http.client.HTTPException) as error:
        return str(error) or type(error).__name__
    return None if 200 <= status < 300 else f"it answered {status}"
