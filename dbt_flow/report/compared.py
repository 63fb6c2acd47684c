"""What a change does to a fleet, for people: as text for a terminal, as Markdown for a comment on a pull request.

Both are made from the document that ``plan --base --json`` prints.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from dbt_flow.report.words import count

Doc = Mapping[str, Any]

MOST = 12
"""Names that one line of text gives; the rest is counted, and stands in ``--json``."""
MOST_ROWS = 60
"""Rows of one table in Markdown: GitHub takes comments of 65,536 characters."""

_ABOUT = {"starts": "start", "deadlines": "deadline", "alerts": "alerts", "owners": "owner", "selection": "selection"}


def headline(found: Doc) -> str:
    """In one sentence."""
    base = found["base"]["revision"]
    if not found["changes"]:
        return f"nothing that a DAG builds, and no key, is other than in {base}"
    dags, nodes = found["dags"], found["nodes"]
    parts = [count(len(dags["added"]), "DAG") + " added"] * bool(dags["added"])
    parts += [count(len(dags["removed"]), "DAG") + " removed"] * bool(dags["removed"])
    parts += [count(len(dags["renamed"]), "DAG") + " renamed"] * bool(dags["renamed"])
    keys = len(found["keys"]) + len(found["settings"])
    parts += [count(keys, "key") + " changed"] * bool(keys)
    for change, verb in (("moves", "moved"), ("enters", "entered"), ("leaves", "left"), ("renamed", "renamed")):
        some = [node for node in nodes if node["change"] == change]
        if some:
            parts.append(f"{_kinds(_with_tests(some))} {verb}")
    built = found["rebuild"]
    if built:
        number = len({node["id"] for one in built for node in (*one["changed"], *one["below"])})
        parts.append(f"{count(number, 'node')} to be rebuilt in {count(len(built), 'DAG')}")
    return f"against {base}: {', '.join(parts) or 'models that no DAG builds changed'}"


def text(found: Doc) -> str:
    """For a terminal or a log."""
    lines = [headline(found), f"  {found['base']['told']}"]
    for title, rows in _sections(found):
        if rows:
            lines += ["", title, *(f"  {row}" for row in rows)]
    return "\n".join([*lines, *([""] if found["notes"] else []), *(f"note: {note}" for note in found["notes"])])


def _sections(found: Doc) -> Iterable[tuple[str, list[str]]]:
    dags = found["dags"]
    rows = [f"+ {dag['name']}: {_summary(dag)}  {dag['file']}" for dag in dags["added"]]
    rows += [f"- {dag['name']}: {_summary(dag)}  {dag['file']}" for dag in dags["removed"]]
    rows += [f"~ {one['from']} is now {one['to']}: {RENAMED}  {one['file']}" for one in dags["renamed"]]
    yield "DAGs", rows
    yield "Keys", _aligned([(f"{one['dag']} {one['key']}", _arrow(one), _place(one)) for one in found["keys"]])
    yield "dbt_flow.yml", _aligned([(one["key"], _arrow(one), _place(one)) for one in found["settings"]])
    yield "Which DAG builds what", [line for group in _groups(found["nodes"], found["only"]) for line in _group_lines(*group)]
    yield "What the next runs rebuild", [line for one in found["rebuild"] for line in _rebuild_lines(one)]
    loose = [f"{node['name']}: {_why(node['because'])}" for node in found["in_no_dag"]]
    yield "Changed, and built by no DAG", _cut(loose)


RENAMED = "its flow in Metaflow, its history and `after:` begin anew"


def _summary(dag: Doc) -> str:
    return f"{count(dag['nodes'], 'node')}, starts {dag['starts']}, owner {dag['owner']}"


def _arrow(one: Doc) -> str:
    return f"{one['before']} -> {one['now']}"


def _place(one: Doc) -> str:
    place = ":".join(str(part) for part in (one["file"], one["line"]) if part is not None)
    return f"{place} (before)" if one.get("in") == "base" else place


def _groups(nodes: Sequence[Doc], only: Sequence[str]) -> list[tuple[str, str, list[Doc]]]:
    """Nodes that go the same way for the same reason: the way, the reason, the nodes."""
    found: dict[tuple[str, str], list[Doc]] = {}
    for node in nodes:
        found.setdefault((_way(node, only), "; ".join(why["text"] for why in node["because"])), []).append(node)
    return [(way, why, members) for (way, why), members in found.items()]


def _way(node: Doc, only: Sequence[str]) -> str:
    leaves, enters, stays = (", ".join(node[key]) for key in ("leaves", "enters", "stays"))
    if node["change"] == "renamed":
        return f"renamed in {stays}"
    if leaves and enters:
        return f"moves from {leaves} to {enters}" + (f", and stays in {stays}" if stays else "")
    if enters:
        return f"enters {enters}" + (f", and stays in {stays}" if stays else "")
    nobody = "" if only else ", and no DAG builds it any more"
    return f"leaves {leaves}" + (f", and stays in {stays}" if stays else nobody)


def _group_lines(way: str, why: str, nodes: list[Doc]) -> list[str]:
    lines = [f"{_kinds(_with_tests(nodes))}: {way}, because: {why}"]
    for node in nodes[:MOST]:
        tests = f" with {count(len(node['tests']), 'test')}" if node["tests"] else ""
        lines.append(f"  {node['name']}{tests}  {_places(node['because'])}".rstrip())
    return [*lines, *_rest(len(nodes) - MOST)]


def _rebuild_lines(one: Doc) -> list[str]:
    changed, below = one["changed"], one["below"]
    lines = [f"{one['dag']}: {len(changed) + len(below)} of {count(one['of'], 'node')}"]
    for node in changed[:MOST]:
        lines.append(f"  {node['name']}: {_why(node['because'])}")
    lines += _rest(len(changed) - MOST)
    if below:
        names = ", ".join(node["name"] for node in _bodies_first(below)[:MOST])
        more = f" and {len(below) - MOST} more" if len(below) > MOST else ""
        lines.append(f"  and what stands on changed nodes: {names}{more}")
    return lines


def _bodies_first(nodes: Sequence[Doc]) -> list[Doc]:
    return sorted(nodes, key=lambda node: ("test" in node["type"], node["name"]))


def _why(because: Sequence[Doc]) -> str:
    return "; ".join(f"{why['text']}{f' ({place})' if (place := _place(why)) else ''}" for why in because)


def _places(because: Sequence[Doc]) -> str:
    return ", ".join(dict.fromkeys(place for why in because if (place := _place(why))))


def _rest(number: int) -> list[str]:
    return [f"  and {number} more"] if number > 0 else []


def _cut(rows: list[str]) -> list[str]:
    return [*rows[:MOST], *(row.strip() for row in _rest(len(rows) - MOST))]


def _with_tests(nodes: Iterable[Doc]) -> list[Doc]:
    return [one for node in nodes for one in (node, *node["tests"])]


def _kinds(nodes: Iterable[Doc]) -> str:
    counts: dict[str, int] = {}
    for node in nodes:
        kind = "test" if "test" in node["type"] else node["type"].replace("_", " ")
        counts[kind] = counts.get(kind, 0) + 1
    return " and ".join(count(number, kind) for kind, number in sorted(counts.items(), key=lambda item: item[0] == "test"))


def _aligned(rows: Sequence[tuple[str, ...]]) -> list[str]:
    widths = [min(max((len(row[at]) for row in rows), default=0), 60) for at in range(2)]
    return ["  ".join([row[0].ljust(widths[0]), row[1].ljust(widths[1]), row[2]]).rstrip() for row in rows]


# ---- Markdown


def markdown(found: Doc) -> str:
    """For a comment: a sentence, then a table for each kind of change."""
    parts = ["### What this does to the DAGs", "", _plain(_upper(headline(found)))]
    dags = found["dags"]
    rows = [("added", _code(dag["name"]), _plain(_summary(dag)), _code(dag["file"])) for dag in dags["added"]]
    rows += [("removed", _code(dag["name"]), _plain(_summary(dag)), _code(dag["file"])) for dag in dags["removed"]]
    for one in dags["renamed"]:
        rows.append(("renamed", _code(one["to"]), f"was {_code(one['from'])}: {RENAMED}", _code(one["file"])))
    parts += _table("DAGs", ("", "DAG", "", "file"), rows)
    keys = [{**one, "whose": one["dag"]} for one in found["keys"]] + [
        {**one, "whose": "dbt_flow.yml"} for one in found["settings"]
    ]
    changed = [[_code(one[part]) for part in ("whose", "key", "before", "now")] + [_code(_place(one))] for one in keys]
    parts += _table("Schedules, deadlines, alerts, owners and other keys", ("", "key", "before", "now", "where"), changed)
    moved = []
    for way, why, nodes in _groups(found["nodes"], found["only"]):
        for node in nodes:
            tests = f" and {count(len(node['tests']), 'test')}" if node["tests"] else ""
            moved.append((f"{_code(node['name'])}{tests}", _plain(way), _plain(why), _code(_places(node["because"]))))
    parts += _table("Which DAG builds what", ("node", "goes", "because", "where"), moved)
    built = []
    for one in found["rebuild"]:
        names = [node["name"] for node in _bodies_first(one["changed"])]
        reasons = dict.fromkeys(why["text"] for node in one["changed"] for why in node["because"])
        below = [node["name"] for node in _bodies_first(one["below"])]
        total = f"{len(names) + len(below)} of {one['of']}"
        built.append((_code(one["dag"]), total, _some(names), _plain("; ".join([*reasons][:6])), _some(below)))
    parts += _table("What the next runs rebuild", ("DAG", "nodes", "changed", "because", "stands on them"), built)
    loose = [(_code(node["name"]), _plain(_why(node["because"]))) for node in found["in_no_dag"]]
    parts += _table("Changed, and built by no DAG", ("node", "because"), loose)
    for note in found["notes"]:
        parts += ["", f"> {_plain(note)}"]
    for problem in found["problems"]:
        place = ":".join(str(problem[key]) for key in ("file", "line", "column") if problem[key])
        parts += ["", f"> **error** {_code(place)} {_plain(problem['message'])}"]
    return "\n".join([*parts, "", f"<sub>{_plain(found['base']['told'])}</sub>"])


def _table(title: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    if not rows:
        return []
    lines = ["", f"#### {title}", "", f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    lines += [f"| {' | '.join(row)} |" for row in rows[:MOST_ROWS]]
    if len(rows) > MOST_ROWS:
        lines += ["", f"and {len(rows) - MOST_ROWS} more; `dbt-flow plan --base REV --json` has them all"]
    return lines


def _some(names: Sequence[str], most: int = 6) -> str:
    return ", ".join(map(_code, names[:most])) + (f" and {len(names) - most} more" if len(names) > most else "")


def _code(text: str) -> str:
    """A name, a value or a place: shown as it is."""
    flat = " ".join(str(text).split()).replace("`", "'").replace("|", "\\|")
    return f"`{flat}`" if flat else ""


def _plain(text: str) -> str:
    """A sentence that is no Markdown, names nobody and makes no link."""
    flat = " ".join(str(text).split()).replace("->", "→")
    for sign, shown in {"&": "&amp;", "<": "&lt;", ">": "&gt;", "@": "&#64;", "#": "&#35;"}.items():
        flat = flat.replace(sign, shown) if sign != "#" else flat.replace(" #", f" {shown}")
    for sign in ("\\", "|", "`", "*", "_", "[", "]", "~"):
        flat = flat.replace(sign, f"\\{sign}")
    return flat


def _upper(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."
