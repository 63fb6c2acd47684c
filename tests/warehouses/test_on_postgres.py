"""The shop on a real PostgreSQL server: as ``dbt build``, and everything that dbt-flow adds to it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import stories
from servers.postgres import Database
from shop import Ran
from warehouse_shop import WarehouseShop


@pytest.fixture(scope="module")
def good(a_database: Callable[[], Database], tmp_path_factory: pytest.TempPathFactory) -> Iterator[WarehouseShop]:
    yield from stories.a_shop(a_database(), tmp_path_factory.mktemp("postgres"))


@pytest.fixture(scope="module")
def first(good: WarehouseShop) -> Ran:
    return good.run()


def test_the_run_leaves_a_card_and_a_receipt(good: WarehouseShop, first: Ran) -> None:
    stories.leaves_card_and_receipt(good, first)


def test_good_data_end_as_in_dbt_build(good: WarehouseShop, first: Ran) -> None:
    stories.ends_as_dbt(good, first)


def test_what_has_not_changed_is_reused(good: WarehouseShop, first: Ran) -> None:
    stories.reuses_what_holds(good)


def test_a_step_of_its_own_and_a_retry(good: WarehouseShop, first: Ran) -> None:
    stories.retries_what_failed(good)


def test_stale_sources(good: WarehouseShop) -> None:
    stories.requires_fresh_sources(good)


def test_broken_data_end_as_in_dbt_build(a_database: Callable[[], Database], tmp_path_factory: pytest.TempPathFactory) -> None:
    for shop in stories.a_shop(a_database(), tmp_path_factory.mktemp("broken"), "amount", "orphan", "name"):
        stories.ends_as_dbt(shop, shop.run())
