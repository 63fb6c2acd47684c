"""Which run and which node a query is of, written where the warehouse keeps it; and which query a node's result came from.

- Snowflake: the query tag, ``{"dag", "run", "node"}`` as JSON. It goes along with each statement, nothing is sent besides;
  the query's page in Snowsight is linked. A tag of the profile's or of a model's own stays as it is.
- PostgreSQL: ``application_name``, which ``pg_stat_activity`` and the server's log show; one that the profile gives stays.

Seams, as in :mod:`.engine`: ``open`` of the adapter's connection manager, and the cursor that it hands out. What would replace
them: a query tag in a node's context that dbt-snowflake sends with the statement.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from dbt.adapters.factory import get_adapter

_DBTS_OWN = (None, "", "dbt")
_LONGEST_NAME = 63  # bytes of PostgreSQL's application_name
_LONGEST_TAG = 2000


class Labels:
    """The labels of one call of dbt."""

    def __init__(self, label: Mapping[str, str], page: str = "") -> None:
        """Take down what to write.

        :param label: ``dag`` and ``run``; where there is one, ``step``.
        :param page: where a query is shown, with ``{query}`` for its id; empty: in Snowsight.
        """
        self._label = dict(label)
        self._facts: dict[str, Any] = {}
        self._page = page
        self._warehouses: dict[str, str] = {}
        self._own: frozenset[str] = frozenset()
        self._failed: dict[str, str] = {}

    def put(self, config: Any, manifest: Any) -> None:
        """Label every query that dbt sends from now on, and note which ones fail; before it has opened a connection."""
        credentials = config.credentials
        if not self._label or credentials.type not in ("postgres", "snowflake"):
            return
        if credentials.type == "postgres":
            if credentials.application_name in _DBTS_OWN:
                credentials.application_name = f"dbt-flow {self._label['run']}".encode()[:_LONGEST_NAME].decode(
                    "ascii", "ignore"
                )
            return
        self._facts = {"warehouse": credentials.warehouse}
        self._page = self._page or snowsight(str(credentials.account), str(credentials.host or ""))
        configs = {node.unique_id: node.config for node in manifest.nodes.values()}
        self._warehouses = {
            key: str(own) for key, found in configs.items() if (own := found.get("snowflake_warehouse")) is not None
        }
        if credentials.query_tag:
            self._facts["tag"] = credentials.query_tag
        else:
            self._own = frozenset(key for key, found in configs.items() if found.get("query_tag"))
            credentials.query_tag = self._tag(None)  # what dbt asks between nodes
        self._with_each_statement(get_adapter(config).connections)

    def query(self, node: str, response: Mapping[str, Any], message: str) -> dict[str, Any] | None:
        """What to know of a node's last query: ``id``, ``warehouse``, ``tag``, ``link``; None where the warehouse has no ids.

        :param message: what dbt says of the node.
        """
        if not self._facts:
            return None
        key = str(response.get("query_id") or (self._failed.get(node, "") if message else ""))
        if not key:
            return None
        tag = self._facts.get("tag") or (None if node in self._own else self._tag(node))
        found = {"id": key, "warehouse": self._warehouses.get(node, self._facts["warehouse"]), "tag": tag}
        link = self._page.replace("{query}", key) if self._page else None
        return {name: value for name, value in {**found, "link": link}.items() if value}

    def _tag(self, node: str | None) -> str:
        return json.dumps({**self._label, **({"node": node} if node else {})}, separators=(",", ":"))[:_LONGEST_TAG]

    def _with_each_statement(self, manager: Any) -> None:
        """Hand out cursors that send the tag of the node that is being built along with each statement."""
        opened = manager.open

        def open_and_tag(connection: Any) -> Any:
            connection = opened(connection)
            handle = connection.handle
            plain = handle.cursor

            def cursor(*given: Any, **named: Any) -> Any:
                made = plain(*given, **named)
                execute = made.execute

                def tagged(*words: Any, **more: Any) -> Any:
                    node = str(connection.name or "")
                    if node not in self._own and "tag" not in self._facts:
                        tag = self._tag(node if "." in node else None)
                        more["_statement_params"] = {"QUERY_TAG": tag, **(more.get("_statement_params") or {})}
                    try:
                        return execute(*words, **more)
                    except Exception as error:  # dbt passes its words on, and not the id
                        self._failed[node] = str(getattr(error, "sfqid", None) or "")
                        raise

                made.execute = tagged
                return made

            handle.cursor = cursor
            return connection

        manager.open = open_and_tag


def with_labels(task: type[Any], labels: Labels) -> type[Any]:
    """A subclass of dbt's build task whose queries bear these labels."""

    class Labelled(task):  # type: ignore[misc]
        def __init__(self, *given: Any, **named: Any) -> None:
            super().__init__(*given, **named)
            labels.put(self.config, self.manifest)

    return Labelled


def snowsight(account: str, host: str = "") -> str:
    """The address of a query's page in Snowsight, with ``{query}`` for its id; empty where the account does not tell it.

    :param account: ``ORGANIZATION-ACCOUNT``, or a locator with its region and cloud, ``xy12345.eu-central-1``.
    :param host: the profile's, where it names one; one that is not Snowflake's own has no Snowsight.
    """
    if host and not host.endswith((".snowflakecomputing.com", ".snowflakecomputing.cn")):
        return ""
    name = account.removesuffix(".privatelink").lower()
    if "." in name:
        locator, _, region = name.partition(".")
        place = f"{region}/{locator}"
    elif "-" in name:
        organization, _, rest = name.partition("-")
        place = f"{organization}/{rest}"
    else:
        place = f"us-west-2/{name}"  # a bare locator is of the first region
    return f"https://app.snowflake.com/{place}/#/compute/history/queries/{{query}}/detail"
