"""The shop on Snowflake, as far as fakesnow is Snowflake: dbt-snowflake and its connector are the real ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import stories
from servers.fakesnow import Snow
from shop import Ran
from warehouse_shop import FAKESNOW, WarehouseShop


@pytest.fixture(scope="module")
def good(a_snow: Callable[[], Snow], tmp_path_factory: pytest.TempPathFactory) -> Iterator[WarehouseShop]:
    yield from stories.a_shop(a_snow(), tmp_path_factory.mktemp("snowflake"))


@pytest.fixture(scope="module")
def first(good: WarehouseShop) -> Ran:
    return good.run()


def test_the_run_leaves_a_card_and_a_receipt(good: WarehouseShop, first: Ran) -> None:
    stories.leaves_card_and_receipt(good, first)


def test_good_data_end_as_in_dbt_build(good: WarehouseShop, first: Ran) -> None:
    stories.ends_as_dbt(good, first)


def test_what_has_not_changed_is_reused(good: WarehouseShop, first: Ran) -> None:
    """By ``last_altered``, which dbt-snowflake asks for; a project that overrides dbt's macros reuses nothing."""
    (good.folder / "macros/fakesnow.sql").unlink()
    stories.reuses_what_holds(good)
    (good.folder / "macros/fakesnow.sql").write_text(FAKESNOW)


def test_a_step_of_its_own_and_a_retry(good: WarehouseShop, first: Ran) -> None:
    stories.retries_what_failed(good)


def test_stale_sources(good: WarehouseShop) -> None:
    stories.requires_fresh_sources(good)


def test_broken_data_end_as_in_dbt_build(a_snow: Callable[[], Snow], tmp_path_factory: pytest.TempPathFactory) -> None:
    for shop in stories.a_shop(a_snow(), tmp_path_factory.mktemp("broken"), "amount", "orphan", "name"):
        stories.ends_as_dbt(shop, shop.run())
