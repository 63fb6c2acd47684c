"""``kill -9`` after every step of a create, an update and a removal, told once for both schedulers."""

from __future__ import annotations

from typing import Any

from fleet_of_two import change_sql, with_training
from front_door import FrontDoor


class KilledStory:
    """A test module makes a class of it, with a fixture ``stand`` for all its tests."""

    def test_killed_after_each_step_and_applied_again(self, stand: Any) -> None:
        """Each apply is killed as soon as the scheduler has done something that no apply before was killed at."""
        door: FrontDoor = stand.door
        train = door.shop.folder / "training/train.py"
        text = train.read_text()
        train.unlink()
        (door.shop.folder / "dbt_flow.yml").unlink()
        assert door.apply() == {"chained": "create", "nightly": "create"}
        change_sql(door.shop, "totals", "sum(amount)", "sum(amount) ")
        (door.shop.folder / "dags/chained.yaml").unlink()
        with_training(door.shop, text)
        killed: list[str] = []

        def kill(label: str) -> None:
            if label not in killed:
                killed.append(label)
                door.kill()

        stand.watched.on_write = kill
        while (done := door.ended("apply", "--yes")).code == -9:
            assert len(killed) < 30, killed
        stand.watched.on_write = lambda _: None
        assert done.code == 0, done.stderr
        assert set(killed) == stand.steps, "at every step that did something"
        assert door.apply() == {} and door.drift(code=0) == {}
        assert set(stand.definitions()) == {"shop.prod.nightly", "shop.prod.train"}

    def test_half_made_is_seen_for_what_it_is(self, stand: Any) -> None:
        """Killed before the marks, a flow is put again by whoever applies next, with a state that is lost besides."""
        door: FrontDoor = stand.door
        change_sql(door.shop, "totals", "sum(amount) ", "sum(amount)  ")
        stand.watched.on_write = lambda _: door.kill()
        assert door.ended("apply").code == -9
        stand.watched.on_write = lambda _: None
        stand.lose_state()
        assert {name: action for name, (action, _) in door.plan().items()} == {"nightly": "update", "Train": "same"}
        assert door.apply() == {"nightly": "update"} and door.drift(code=0) == {}
