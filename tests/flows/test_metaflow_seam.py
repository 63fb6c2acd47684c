"""One test for each row of the table in ``dbt_flow/metaflow_seam.py``: what of Metaflow is used, and what must be true of it.

When one of these fails after an upgrade of Metaflow, the message says which change broke which seam. What ``current.trigger``
and the serving of flows need is tested with them, in ``tests/serve``.
"""

from __future__ import annotations

import inspect
from pathlib import Path

import metaflow.runtime
import pytest
from metaflow import FlowMutator, FlowSpec
from metaflow.cards import get_cards
from metaflow.datastore import FlowDataStore
from metaflow.exception import METAFLOW_EXIT_DISALLOW_RETRY
from metaflow.graph import FlowGraph
from metaflow.lint import linter
from metaflow.plugins import DATASTORES
from metaflow.plugins.cards.card_datastore import CardDatastore
from metaflow.user_decorators.mutable_flow import MutableFlow

from dbt_flow.metaflow_seam import CARD_TYPE, CardStore, name_class, rename_flow


class Plain(FlowSpec):  # type: ignore[misc]
    """A flow to look at."""


def test_a_mutator_reaches_the_class_of_its_flow() -> None:
    source = inspect.getsource(MutableFlow)
    assert "self._flow_cls" in source, "MutableFlow has no _flow_cls: a DAG's flow cannot be named after it"
    assert "pre_mutate" in dir(FlowMutator), "FlowMutator has no pre_mutate: the name would come too late"


def test_a_flows_name_is_its_classes() -> None:
    class Renamed(FlowSpec):  # type: ignore[misc]
        """Renamed below."""

    class Mutable:
        _flow_cls = Renamed

    rename_flow(Mutable(), "CarrierRisk")
    assert Renamed.__name__ == "CarrierRisk"
    name_class(Renamed, "Other")
    assert Renamed.__qualname__ == "Other"
    assert Renamed(use_cli=False).name == "Other", "a flow's name no longer comes from its class"


def test_a_graph_is_walked_and_linted_where_ours_stand_in() -> None:
    assert "_traverse_graph" in inspect.getsource(FlowGraph.__init__), "FlowGraph walks elsewhere than in _traverse_graph"
    names = {check.__name__ for check in linter._checks}
    assert {"check_for_acyclicity", "check_split_join_balance"} <= names, f"the linter's checks are now {sorted(names)}"


def test_the_card_datastore_takes_finished_html() -> None:
    given = list(inspect.signature(CardDatastore.save_card).parameters)
    assert given[:4] == ["self", "uuid", "card_type", "card_html"], f"CardDatastore.save_card now takes {given}"
    assert "overwrite" in given
    assert "pathspec" in inspect.signature(CardDatastore.__init__).parameters


def test_a_flow_datastore_is_made_outside_a_task() -> None:
    given = inspect.signature(FlowDataStore.__init__).parameters
    for name in ("flow_name", "storage_impl", "ds_root"):
        assert name in given, f"FlowDataStore takes no {name}"
    assert {"local", "s3"} <= {storage.TYPE for storage in DATASTORES}
    assert hasattr(FlowDataStore, "default_storage_impl")


def test_a_card_is_stored_where_the_client_looks_and_replaced_by_the_next(tmp_path: Path) -> None:
    store = CardStore("local", str(tmp_path / "mf.cards"))
    assert store.facts == {"kind": "local", "root": str(tmp_path / "mf.cards")}, "enough to open it again from elsewhere"
    task = "CarrierRisk/12/end/3"
    CardStore(**store.facts).save(task, "<p>one</p>")
    store.save(task, "<p>two</p>")
    assert "CardDatastore" in inspect.getsource(inspect.getmodule(get_cards)), "get_cards looks elsewhere"  # type: ignore[arg-type]
    storage = next(kind for kind in DATASTORES if kind.TYPE == "local")
    flow = FlowDataStore(flow_name="CarrierRisk", storage_impl=storage, ds_root=store.facts["root"])
    cards = CardDatastore(flow, pathspec=task)
    [path] = cards.extract_card_paths(card_type=CARD_TYPE)
    assert cards.get_card_html(path) == "<p>two</p>"


@pytest.mark.parametrize("name", ["_flow_decorators", "_get_parameters"])
def test_a_flow_tells_what_it_listens_to(name: str) -> None:
    assert hasattr(Plain, name) or hasattr(Plain(use_cli=False), name), f"FlowSpec has no {name}"


def test_a_task_can_say_that_it_must_not_be_tried_again() -> None:
    assert METAFLOW_EXIT_DISALLOW_RETRY == 202
    assert "METAFLOW_EXIT_DISALLOW_RETRY" in inspect.getsource(metaflow.runtime), "a cancelled run would be tried again"
