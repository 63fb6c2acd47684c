"""One tiny broken DAG file per thing that can be wrong: the code, the line, the column, and what to type next."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from spec_root import Root, flat

from dbt_flow.errors import Refusals, flatten
from dbt_flow.spec import load_dag, load_fleet
from dbt_flow.spec.model import NOT_YET, DagKeys

G = "owner: team\n"

ONE_FILE = [
    # name, text, code, line, column, a part of the hint
    ("tab", G + "trigger:\n\tschedule: x\n", "yaml-syntax", 3, 1, "spaces"),
    ("bare_cron", G + "trigger: {schedule: */5 * * * *}\n", "yaml-syntax", 2, 22, '"*/5 * * * *"'),
    ("colon", G + "description: a: b\n", "yaml-syntax", 2, 15, "quotes"),
    ("open_quote", G + 'description: "a\n', "yaml-syntax", 3, 1, "close the quote"),
    ("open_bracket", G + "tags: [a\nselect: b\n", "yaml-syntax", 3, 7, "bracket"),
    ("no_colon", G + "select\n", "yaml-syntax", 3, 1, "key: value"),
    ("two_documents", G + "---\n" + G, "yaml-syntax", 2, 1, "one document"),
    ("unknown_alias", G + "select: *nope\n", "yaml-syntax", 2, 9, "quotes"),
    ("self_alias", G + "vars: &a {x: *a}\n", "yaml-syntax", 2, 14, "write the value out"),
    ("tag", G + "vars: {x: !!python/name:os.system y}\n", "yaml-syntax", 2, 11, "delete the tag"),
    ("nul", G + "select: a\0b\n", "yaml-syntax", 2, 10, "UTF-8"),
    ("duplicate", G + "vars: {a: 1, a: 2}\n", "duplicate-key", 2, 14, "keep one"),
    ("duplicate_top", "owner: team\nowner: team\n", "duplicate-key", 2, 1, "keep one"),
    ("merge_key", "vars: &v {a: 1}\nparams: {<<: *v}\nowner: team\n", "unknown-key", 2, 10, "_defaults.yaml"),
    ("misspelt", "ownr: team\n", "unknown-key", 1, 1, "did you mean owner?"),
    ("misspelt_deep", G + "trigger: {shedule: '0 6 * * *'}\n", "unknown-key", 2, 11, "did you mean schedule?"),
    ("misspelt_param", G + "params: {as_of: {type: date, defalt: today}}\n", "unknown-key", 2, 30, "did you mean default?"),
    ("not_close", G + "zzzzzz: 1\n", "unknown-key", 2, 1, "the keys are: name, version, owner"),
    ("no_owner", "select: a\n", "missing-key", 1, 1, "write owner:"),
    ("no_type", G + "params:\n  as_of: {default: today}\n", "missing-key", 3, 3, "write type:"),
    ("number_key", G + "vars: {1: x}\n", "wrong-type", 2, 8, '"1"'),
    ("true_key", G + "true: x\n", "wrong-type", 2, 1, "quotes"),
    ("list_key", G + "? [a]\n: x\n", "wrong-type", 2, 3, "key: value"),
    ("empty", "", "wrong-type", 1, 1, "owner: NAME"),
    ("comment_only", "# nothing\n", "wrong-type", 1, 1, "owner: NAME"),
    ("a_list", "- owner: team\n", "wrong-type", 1, 1, "key: value"),
    ("just_text", "hello\n", "wrong-type", 1, 1, "key: value"),
    ("nothing", G + "select:\n", "wrong-type", 2, 8, "after the colon"),
    ("null_target", G + "target: ~\n", "wrong-type", 2, 9, "after the colon"),
    ("number_for_text", G + "target: 5\n", "wrong-type", 2, 9, '"5"'),
    ("text_for_number", G + "retries: three\n", "wrong-type", 2, 10, "a whole number"),
    ("bool_for_number", G + "threads: true\n", "wrong-type", 2, 10, "a whole number"),
    ("fraction", G + "retries: 1.5\n", "wrong-type", 2, 10, "a whole number"),
    ("text_for_mapping", G + "vars: x\n", "wrong-type", 2, 7, "NAME: VALUE"),
    ("trigger_text", G + "trigger: 0 6 * * *\n", "wrong-type", 2, 10, '{schedule: "0 6 * * *"}'),
    ("param_default", G + "params: {n: {type: int, default: x}}\n", "wrong-type", 2, 34, "a whole number"),
    (
        "alias_bomb",
        "a: &a [x,x,x,x]\n" + "".join(f"{b}: &{b} [{','.join(['*' + a] * 40)}]\n" for a, b in ("ab", "bc", "cd")),
        "bad-value",
        4,
        None,
        "alias",
    ),
    ("deep", G + "vars: {x: " + "[" * 3000 + "\n", "bad-value", 2, 49, "flatter"),
    ("infinite", G + "vars: {x: .inf}\n", "bad-value", 2, 11, "quotes"),
    ("two_starts", G + "trigger: {schedule: 0 6 * * *, after: x}\n", "bad-value", 2, 39, "keep one"),
    ("no_start", G + "trigger: {otherwise: skip}\n", "bad-value", 2, 10, "trigger: none"),
    ("schedule_within", G + "trigger: {schedule: 0 6 * * *, within: 2h}\n", "bad-value", 2, 40, "delete within"),
    ("event_name", G + "trigger: {event: 'rm -rf'}\n", "bad-value", 2, 18, "letters"),
    ("all_and_any", G + "trigger: {after: {all: [x], any: [y]}}\n", "bad-value", 2, 18, "any: [NAME"),
    ("named_twice", G + "trigger: {after: [x, x]}\n", "bad-value", 2, 18, "once"),
    ("empty_list", G + "select: []\n", "bad-value", 2, 9, "delete the key"),
    ("blank", G + "select: ' '\n", "bad-value", 2, 9, "delete the key"),
    ("retries", G + "retries: 9\n", "bad-value", 2, 10, "mend"),
    ("word", G + "reuse: unchangd\n", "bad-value", 2, 8, "did you mean unchanged?"),
    ("memory", G + "resources: {memory: 8}\n", "bad-value", 2, 21, "8GB"),
    ("time", G + "done_by: 7:00\n", "bad-value", 2, 10, "07:00"),
    ("date", G + "params: {d: {type: date, default: 2026-02-30}}\n", "bad-value", 2, 35, "today"),
    ("var_and_param", G + "vars: {d: 1}\nparams: {d: {type: int, default: 1}}\n", "bad-value", 2, 11, "keep one"),
    ("selector_too", G + "select: a\nselector: b\n", "bad-value", 3, 11, "delete selector"),
    ("nobody_gives", G + "trigger: {schedule: 0 6 * * *}\nparams: {d: {type: date}}\n", "bad-value", 3, 13, "default: ..."),
    (
        "event_fills",
        G + "trigger: {event: {name: x, params: {as_off: d}}}\nparams: {as_of: {type: str, default: a}}\n",
        "bad-value",
        2,
        45,
        "did you mean as_of?",
    ),
    ("no_such_project", G + "project: elsewhere\n", "bad-value", 2, 10, "from the root"),
    ("other_name", G + "name: another\n", "bad-name", 2, 7, "delete the line"),
    ("param_name", G + "params: {As-Of: {type: str}}\n", "bad-name", 2, 17, "a-z"),
    ("param_reserved", G + "params: {tags: {type: str}}\n", "bad-name", 2, 16, "tags_value"),
    ("cron_never", G + "trigger: {schedule: 0 0 31 2 *}\n", "bad-cron", 2, 21, "five fields"),
    ("cron_fields", G + "trigger: {schedule: [0 6 * * *, 0 6 * *]}\n", "bad-cron", 2, 33, "five fields"),
    ("cron_minute", G + "trigger: {schedule: 61 * * * *}\n", "bad-cron", 2, 21, "five fields"),
    ("cron_nickname", G + "trigger: {schedule: '@daily'}\n", "bad-cron", 2, 21, "five fields"),
    ("zone", G + "timezone: Europe/berlin\n", "bad-timezone", 2, 11, "did you mean Europe/Berlin?"),
    ("zone_path", G + "timezone: ../../etc/passwd\n", "bad-timezone", 2, 11, "Europe/Berlin"),
    ("duration", G + "timeout: soon\n", "bad-duration", 2, 10, "90m"),
    ("no_unit", G + "timeout: 90\n", "bad-duration", 2, 10, "90m"),
    ("zero", G + "timeout: 0m\n", "bad-duration", 2, 10, "90m"),
    ("owner", "owner: teem\n", "unknown-owner", 1, 8, "did you mean team?"),
    ("no_such_dag", G + "trigger: {after: elsewhere}\n", "unknown-dag", 2, 18, "the DAGs are: none yet"),
    ("no_such_flow", G + "trigger: {after: TrainModel}\n", "unknown-dag", 2, 18, "flows: in dbt_flow.yml"),
    ("itself", G + "trigger: {after: itself}\n", "waits-for-itself", 2, 18, "another DAG"),
    ("utf16", b"\xff\xfeo\x00", "unreadable", 1, 1, "UTF-8"),
    ("latin1", b"owner: team\ndescription: caf\xe9\n", "unreadable", 2, 17, "UTF-8"),
]


@pytest.mark.parametrize(("name", "text", "code", "line", "column", "hint"), ONE_FILE, ids=[case[0] for case in ONE_FILE])
def test_one_slip_is_one_error_at_its_place(  # noqa: PLR0917 - a row of the table above
    root: Root, name: str, text: str | bytes, code: str, line: int, column: int | None, hint: str
) -> None:
    root.dag(name, text)
    fleet = root.fleet()
    found = [error for error in fleet.errors if error.code == code]
    assert len(fleet.errors) == 1 or name == "alias_bomb", [str(error) for error in fleet.errors]
    assert [flat(error)[:3] for error in found] == [(code, f"dags/{name}.yaml", line)], [str(error) for error in fleet.errors]
    assert column is None or found[0].place.column == column, str(found[0])
    assert hint in (found[0].hint or ""), found[0].hint
    assert fleet.dags == ()


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("Bad-Name", "bad_name.yaml"),
        ("1st", "st.yaml"),
        ("lambda", "lambda_dag.yaml"),
        ("none", "none_dag"),
        ("flow_spec", "_dag"),
        ("x" * 61, "x" * 60),
        ("é", "a-z"),
        ("_shared", "shared.yaml"),
    ],
)
def test_a_name_that_cannot_be_used(root: Root, name: str, hint: str) -> None:
    root.dag(name, G)
    (error,) = root.fleet().errors
    assert flat(error)[:2] == ("bad-name", f"dags/{name}.yaml")
    assert hint in error.hint


def test_all_slips_of_a_file_at_once_in_order(root: Root) -> None:
    root.dag("many", "ownr: x\nvars: {a: 1, a: 2}\nretries: x\ntimeout: 5\nselect:\n2: x\n")
    assert [(code, line) for code, _, line, _ in root.errors()] == [
        ("unknown-key", 1),
        ("duplicate-key", 2),
        ("wrong-type", 3),
        ("bad-duration", 4),
        ("wrong-type", 5),
        ("wrong-type", 6),
    ]
    with pytest.raises(Refusals) as refused:
        load_dag(root.settings, "many")
    assert len(flatten(refused.value)) == 6


def test_one_bad_file_does_not_stop_the_others(root: Root) -> None:
    root.dag("good", G)
    root.dag("bad", "{")
    root.dag("waits_for_bad", G + "trigger: {after: bad}")
    fleet = root.fleet()
    assert [dag.name for dag in fleet.dags] == ["good", "waits_for_bad"]
    assert list(fleet.bad) == ["dags/bad.yaml"]


@pytest.mark.parametrize(
    ("key", "said"), [("overlap", "overlap: skip\n"), ("trigger.within", "trigger: {event: x, within: 24h}\n")]
)
def test_a_key_without_effect_is_refused(root: Root, monkeypatch: pytest.MonkeyPatch, key: str, said: str) -> None:
    """The table is empty today; a key that enters it is refused until its effect is built."""
    monkeypatch.setitem(NOT_YET, key, "it has no effect yet")
    root.dag("early", G + said)
    (error,) = root.fleet().errors
    assert (error.code, error.place.line, error.hint) == ("not-yet", 2, "delete it for now")
    assert error.message == f"{key}: it has no effect yet"


def test_the_default_of_a_key_without_effect_is_good(root: Root) -> None:
    root.dag("other", G)
    text = "overlap: queue\ntests: {on_fail: block}\nreuse: off\nalerts: {notify: error}\n"
    text += "trigger: {after: other, otherwise: hold}\n"
    root.dag("plain", G + text)
    root.dag("timed", G + "overlap: skip\ntrigger: {schedule: 0 6 * * *}\n")
    assert root.errors() == []


def test_a_circle_is_named(root: Root) -> None:
    for name, waited in (("a", "b"), ("b", "c"), ("c", "a"), ("outside", "a")):
        root.dag(name, G + f"trigger: {{after: {waited}}}\n")
    fleet = root.fleet()
    assert [flat(error) for error in fleet.errors] == [("waits-for-itself", f"dags/{name}.yaml", 2, 18) for name in "abc"]
    assert fleet.errors[0].message == "a circle: a waits for b, which waits for c, which waits for a"
    assert [dag.name for dag in fleet.dags] == ["outside"]


@pytest.mark.parametrize(("one", "other"), [("a_1b", "a1b"), ("carrier_risk", "carrierrisk"), ("x", "sub/x"), ("a__b", "a_b")])
def test_two_dags_of_one_flow_name(root: Root, one: str, other: str) -> None:
    root.dag(one, G)
    root.dag(other, G)
    fleet = root.fleet()
    assert {error.code for error in fleet.errors} == {"name-collision"}
    assert {error.place.file for error in fleet.errors} == {f"dags/{one}.yaml", f"dags/{other}.yaml"}
    assert fleet.dags == ()


def test_one_file_under_two_names_is_a_collision_but_a_link_from_outside_is_not(root: Root) -> None:
    file = root.dag("x", G)
    (root.folder / "outside").symlink_to(root.folder / "dags")
    assert load_dag(root.settings, root.folder / "outside/x.yaml").name == "x"
    (root.folder / "dags/sub").mkdir()
    (root.folder / "dags/sub/x.yaml").symlink_to(file)
    assert {error[0] for error in root.errors()} == {"name-collision"}


def test_what_cannot_be_opened(root: Root, tmp_path: Path) -> None:
    root.write("dags/folder.yaml/x", "")
    for path, word in ((root.folder / "dags/folder.yaml", "a folder"), (tmp_path / "gone.yaml", "does not exist")):
        with pytest.raises(Exception, match=word) as refused:
            load_dag(root.settings, path)
        assert refused.value.code == "unreadable"
        assert refused.value.place
    os.mkfifo(root.folder / "dags/pipe.yaml")
    assert [error[0] for error in root.errors()] == ["unreadable"]


@pytest.mark.skipif(os.getuid() == 0, reason="root reads everything")
def test_a_file_without_permission(root: Root) -> None:
    root.dag("secret", G).chmod(0)
    assert root.errors() == [("unreadable", "dags/secret.yaml", None, None)]


def test_a_dangling_link_and_a_huge_file(root: Root) -> None:
    (root.folder / "dags/dangling.yaml").symlink_to("nowhere")
    root.dag("huge", "x" * 1_000_001)
    assert [(code, file) for code, file, _, _ in root.errors()] == [
        ("unreadable", "dags/dangling.yaml"),
        ("unreadable", "dags/huge.yaml"),
    ]


def test_an_unknown_name_lists_the_known_ones(root: Root) -> None:
    root.dag("carrier_risk", G)
    with pytest.raises(Exception, match="no DAG is named") as refused:
        load_dag(root.settings, "carrier_rsk")
    assert refused.value.code == "unknown-dag"
    assert refused.value.hint == "did you mean carrier_risk? the DAGs are: carrier_risk"


def test_defaults_reach_down_and_their_errors_are_told_once(root: Root) -> None:
    root.dag("_defaults", "timezone: Europe/Berlin\nvars: {a: {x: 1, y: 2}, b: 1}\ntags: [top]\n")
    root.dag("sub/_defaults", "owner: team\nvars: {a: {y: 3}}\n")
    root.dag("sub/one", "vars: {c: 4}\ntags: [mine]\n")
    dag = load_dag(root.settings, "one")
    assert (dag.timezone, dag.owner, dag.tags) == ("Europe/Berlin", "team", ("mine",))
    assert dag.vars == {"a": {"x": 1, "y": 3}, "b": 1, "c": 4}
    assert dag.origins["vars.a.x"] == dag.origins["vars.b"] == "dags/_defaults.yaml:2"
    assert dag.origins["vars.a.y"] == "dags/sub/_defaults.yaml:2"
    assert (dag.origins["vars.c"], dag.origins["tags"]) == ("dags/sub/one.yaml:1", "dags/sub/one.yaml:2")

    root.dag("_defaults", "timezon: Europe/Berlin\nretries: x\nname: y\n")
    root.dag("sub/two", "")
    codes = [error[:3] for error in root.errors() if "_defaults" in error[1]]
    assert codes == [
        ("unknown-key", "dags/_defaults.yaml", 1),
        ("wrong-type", "dags/_defaults.yaml", 2),
        ("unknown-key", "dags/_defaults.yaml", 3),
    ]


def test_an_empty_defaults_file_is_fine(root: Root) -> None:
    root.dag("_defaults", "# nothing yet\n")
    root.dag("one", G)
    assert root.errors() == []


def test_ml_flows_are_waited_for_by_their_class(root: Root) -> None:
    root.write("dbt_flow.yml", "flows: [training/train.py]\n")
    root.dag("after_ml", "owner: x\ntrigger: {after: TrainModel}\n")
    root.dag("confused", "owner: x\ntrigger: {after: AfterMl}\n")
    (error,) = root.fleet().errors
    assert (error.code, error.hint) == ("unknown-dag", "write after_ml")


def test_only_reports_on_what_was_asked_for(root: Root) -> None:
    root.dag("good", G)
    root.dag("bad", "{")
    outside = root.write("elsewhere.yaml", "owner: team\n")
    fleet = load_fleet(root.settings, ["good", str(outside)])
    assert [dag.file for dag in fleet.dags] == ["dags/good.yaml", "elsewhere.yaml"]
    assert fleet.errors == ()


def test_every_key_is_in_the_table_of_not_yet_or_works() -> None:
    """A key path of NOT_YET names a key that exists."""
    for dotted in NOT_YET:
        assert dotted.split(".")[0] in DagKeys.model_fields
