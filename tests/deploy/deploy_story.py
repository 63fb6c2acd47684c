"""What happens to a fleet that is deployed, told once for both schedulers; each test goes on from the last."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tarfile
from contextlib import suppress
from pathlib import Path
from typing import Any

from fleet_of_two import change_sql, with_training
from front_door import FrontDoor
from servers.moto import BUCKET
from stands import Stand


class DeployStory:
    """A test module makes a class of it, with a fixture ``stand`` for all its tests."""

    def test_create_and_then_nothing_changes(self, stand: Any) -> None:
        door: FrontDoor = stand.door
        assert door.apply() == {"chained": "create", "nightly": "create", "Train": "create"}
        assert set(stand.definitions()) == {"shop.prod.chained", "shop.prod.nightly", "shop.prod.train"}
        before = len(stand.watched.writes)
        assert door.apply() == {} and door.drift(code=0) == {}
        assert stand.watched.writes[before:] == []

    def test_an_image_without_the_packages_says_so(self, stand: Any, tmp_path: Path) -> None:
        """What was uploaded, unpacked as a task unpacks it, with a Python that has nothing installed."""
        for value in stand.aws.objects("metaflow/Nightly/data/").values():
            with suppress(tarfile.ReadError), tarfile.open(fileobj=io.BytesIO(value)) as archive:
                archive.extractall(tmp_path, filter="data")
        env = {"PYTHONPATH": str(tmp_path / ".mf_code"), "PATH": os.defpath}
        command = [sys.executable, "-S", "dag.py", "--no-pylint", "step", "end"]
        done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
        assert done.returncode == 2 and len(done.stderr.splitlines()) == 2, done.stderr
        assert "this image is without packages that dbt-flow needs: click, cronsim," in done.stderr

    def test_two_people_and_one_models_sql(self, stand: Any) -> None:
        """Only the DAG that builds it is updated; who applies meanwhile is told who is at it, and changes nothing."""
        door: FrontDoor = stand.door
        change_sql(door.shop, "totals", "sum(amount)", "sum(amount) ")
        assert {name: why for name, (action, why) in door.plan().items() if action != "same"} == {
            "nightly": "SQL of model totals changed"
        }
        second: list[Any] = []

        def meanwhile(_: str) -> None:
            if not second:
                second.append(None)
                second[0] = door.elsewhere("apply", "--json", "--yes")

        before, since = stand.definitions(), len(stand.watched.writes)
        stand.watched.on_write = meanwhile
        assert door.apply() == {"nightly": "update"}
        stand.watched.on_write = lambda _: None
        [error] = second[0].json["errors"]
        assert second[0].code == 2 and error["code"] == "deploy-locked" and "at update nightly" in error["message"]
        assert [write for write in stand.watched.writes[since:] if "nightly" not in write.lower()] == []
        changed = {name for name, one in stand.definitions().items() if one != before[name]}
        assert changed == {"shop.prod.nightly"} and door.drift(code=0) == {}

    def test_edited_and_deleted_by_hand(self, stand: Any) -> None:
        door: FrontDoor = stand.door
        before = stand.definitions()
        stand.edit("nightly")
        stand.delete("train")
        assert door.drift() == {
            "nightly": "it was changed on the scheduler, not by dbt-flow",
            "Train": "it was deleted on the scheduler",
        }
        assert door.run("plan", "--exit-code", code=1).stdout.splitlines()[-1].endswith("1 to create, 1 to update, 1 the same")
        assert door.apply() == {"Train": "create", "nightly": "update"}
        assert door.drift(code=0) == {} and set(stand.definitions()) == set(before)

    def test_a_lost_state_is_rebuilt_from_the_scheduler(self, stand: Any) -> None:
        door: FrontDoor = stand.door
        kept = json.loads(stand.aws.objects()[stand.state_key()])
        stand.lose_state()
        stand.write(nightly={**stand.nightly, "retries": 1})
        assert door.plan() == {
            "Train": ("same", ""),
            "chained": ("same", ""),
            "nightly": ("update", "the DAG file changed (what of it is not known: the state was lost)"),
        }
        stand.write()
        assert door.apply() == {}
        again = json.loads(stand.aws.objects()[stand.state_key()])
        timeless = [{flow: {**one, "at": ""} for flow, one in state["flows"].items()} for state in (kept, again)]
        assert timeless[0] == timeless[1], "with every detail"

    def test_a_state_of_a_newer_version_is_refused(self, stand: Any) -> None:
        key = stand.state_key()
        kept = stand.aws.objects(key)[key]
        stand.aws.client().put_object(Bucket=BUCKET, Key=key, Body=b'{"version": 99, "flows": {}}')
        try:
            assert "99" in stand.door.errors("apply")["state-version"]
        finally:
            stand.aws.client().put_object(Bucket=BUCKET, Key=key, Body=kept)

    def test_a_saved_plan_is_refused_when_the_world_has_moved(self, stand: Any) -> None:
        door: FrontDoor = stand.door
        door.run("plan", "--out", "plan.json")
        stand.edit("nightly")
        since = len(stand.watched.writes)
        assert "Nightly: what is to be done and what the scheduler has" in door.errors("apply", "plan.json")["plan-stale"]
        assert stand.watched.writes[since:] == []

    def test_no_right_to_look_and_no_right_to_change(self, stand: Any) -> None:
        door: FrontDoor = stand.door
        stand.watched.forbidden = (stand.listing,)
        assert "does not let you" in door.errors("plan")["deploy-forbidden"]
        stand.watched.forbidden = (stand.updating,)
        done = door.run("apply", code=1)  # what was changed by hand is still there
        assert done.stderr.count("error: ") == 1 and "nightly could not be deployed" in done.stderr
        assert done.stdout.endswith("2 the same, 1 not done\n")
        stand.watched.forbidden = ()
        assert door.apply() == {"nightly": "update"}

    def test_nobody_there_and_nobody_known(self, stand: Any, tmp_path: Path) -> None:
        code, said = stand.nobody_says
        assert said in stand.door.errors("drift", env=stand.nobody)[code]
        assert "deploy-unreachable" in stand.door.errors("drift", env=stand.unreachable(tmp_path))

    def test_what_is_missing_is_told_when_planning_and_all_at_once(self, stand: Any) -> None:
        images = ("METAFLOW_KUBERNETES_CONTAINER_IMAGE", "METAFLOW_BATCH_CONTAINER_IMAGE")
        missing = {
            **dict.fromkeys([*images, stand.unset[0]], ""),
            "METAFLOW_DEFAULT_DATASTORE": "local",
            "DBT_FLOW_STATE": "here",
        }
        said = stand.door.run("plan", code=2, env=missing).stderr
        what = ("Metaflow's datastore is local", "neither dbt nor dbt-flow", "the state is a folder of this machine")
        assert [said.count(one) for one in (*what, stand.unset[1])] == [1] * 4, said
        assert said.count("error: ") == 4 and said.endswith("this plan cannot be applied\n")

    def test_breaking_inputs_are_refused_with_their_place(self, stand: Any) -> None:
        """Of a DAG and of an ML flow, and whatever happened to the state."""
        door: FrontDoor = stand.door
        since = len(stand.watched.writes)
        stand.write(nightly={**stand.nightly, "params": {"day": {"type": "str", "default": "x"}}})
        with_training(door.shop, stand.train.replace("default=0.1", "default=1"))
        kept = {key: value for key, value in stand.aws.objects("state/deployments/").items() if key.endswith("applied.json")}
        stand.lose_state()
        errors = door.run("apply", "--json", "--yes", code=2).json["errors"]
        assert {(one["code"], one["file"]) for one in errors} == {
            ("breaks-contract", "dags/nightly.yaml"),
            ("breaks-contract", "training/train.py"),
        }
        assert "the parameter as_of is gone" in str(errors) and "was float and is int" in str(errors)
        for key, value in kept.items():
            stand.aws.client().put_object(Bucket=BUCKET, Key=key, Body=value)
        assert stand.watched.writes[since:] == []

    def test_a_new_version_stands_beside_the_old_one(self, stand: Any) -> None:
        door: FrontDoor = stand.door
        before = stand.definitions()
        new = {**stand.nightly, "params": {"day": {"type": "str", "default": "x"}}, "version": 2}
        stand.write(nightly=new)
        with_training(door.shop, as_version_two(stand.train))
        assert door.apply() == {"nightly_v2": "create", "TrainV2": "create"}
        assert {name: action for name, (action, _) in door.plan().items()} == {
            "nightly": "keep",
            "Train": "keep",
            "nightly_v2": "same",
            "TrainV2": "same",
            "chained": "same",
        }
        assert {name: stand.definitions()[name] for name in before} == before, "the first versions are as they were"
        assert door.run("destroy", "nightly", "Train", "--yes").stdout.endswith(" 2 removed\n")
        assert set(stand.definitions()) == {"shop.prod.nightlyv2", "shop.prod.trainv2", "shop.prod.chained"}

    def test_renamed_and_removed(self, stand: Any) -> None:
        """Another name is another flow; the old one goes when somebody says so, and its right to go is there."""
        door: FrontDoor = stand.door
        (door.shop.folder / "dags/chained.yaml").rename(door.shop.folder / "dags/reported.yaml")
        since = len(stand.watched.writes)
        assert f"remove chained from {door.to}, production?" in door.errors("apply")["usage"]
        assert stand.watched.writes[since:] == []
        stand.watched.forbidden = (stand.removing,)
        assert door.apply("--yes", code=1) == {"reported": "create", "chained": "deploy-forbidden"}
        stand.watched.forbidden = ()
        assert door.apply("--yes") == {"chained": "remove"}
        assert set(stand.definitions()) == {"shop.prod.nightlyv2", "shop.prod.trainv2", "shop.prod.reported"}

    def test_a_branch_is_a_deployment_of_its_own(self, stand: Any) -> None:
        door: FrontDoor = stand.door
        (door.shop.folder / "dags/nightly.yaml").unlink()
        before = stand.definitions()
        assert door.apply("--branch", "ann") == {"reported": "create", "TrainV2": "create"}
        assert set(stand.definitions()) - set(before) == {"shop.test.ann.reported", "shop.test.ann.trainv2"}
        assert door.run("drift", "--branch", "ann").code == 0
        assert door.run("destroy", "--branch", "ann", "--yes").stdout == f"{door.to}, shop, branch-ann: 2 removed\n"
        assert stand.definitions() == before, "production is as it was"

    def test_nothing_is_left_when_all_is_destroyed(self, stand: Stand) -> None:
        door = stand.door
        assert "is not deployed by dbt-flow" in door.errors("destroy", "nigtly", "--yes")["unknown-dag"]
        assert door.run("destroy", "--yes").stdout == f"{door.to}, shop, production: 3 removed\n"
        assert stand.definitions() == {}
        assert door.run("drift").stdout.endswith("all that dbt-flow deployed is as it was applied\n")


def as_version_two(train: str) -> str:
    """Another type of its parameter, which the first version's callers would trip over."""
    return (
        train.replace("default=0.1", "default=1").replace("class Train(", "class TrainV2(").replace("  Train()", "  TrainV2()")
    )
