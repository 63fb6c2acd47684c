"""``dbt-flow plan DAG``, for people: what runs and why, how long, when next, who waits and who is told."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from dbt_flow.cli.terminal import console
from dbt_flow.spec import Dag

if TYPE_CHECKING:
    from dbt_flow.pipeline.forecast import Forecast
    from dbt_flow.pipeline.foreseen import Foreseen
    from dbt_flow.plan.planned import Decision
    from dbt_flow.records import Node

_SHOWN = 200  # rows of one table
_NAMES = 12  # names of one folder
_CHAIN = 12  # nodes of the critical path

VERBS = {"run": "Runs", "reuse": "Reuses", "skip": "Skips", "blocked": "Blocked"}


def show(dag: Dag, found: Forecast, seen: Foreseen, waiting: Sequence[dict[str, Any]], *, steps: bool) -> None:
    """Print it; tables are as wide as the window."""
    from rich.text import Text  # only for people

    screen = console(stdout=True)
    plan = found.plan
    screen.print(Text(f"{dag.name} on {plan.target} ({plan.adapter}): {counted(plan.nodes)}", style="bold"))
    if dag.description:
        screen.print(Text(dag.description, style="dim"))
    for note in found.notes:
        screen.print(Text(note, style="yellow"))
    groups = [(verb, [item for item in found.decisions if item.decision == decision]) for decision, verb in VERBS.items()]
    known = {item.id for _, items in groups for item in items}
    groups += [("Others", [item for item in found.decisions if item.id not in known])]
    for verb, items in groups:
        if items:
            _group(screen, found, verb, items)
    if plan.inlined:
        screen.print(_line("inlined", _few([node.name for node in plan.inlined], _NAMES)))
    screen.print()
    told = list(facts(dag, found, seen, waiting))
    if screen.is_terminal:
        screen.print(_folded(told), soft_wrap=False)
    else:
        for label, text in told:
            screen.print(_line(label, text))
    for warning in seen.warnings:
        screen.print(Text(f"warning: {warning}", style="yellow"))
    if steps:
        screen.print(_steps(found))
    if found.isolation is not None:
        screen.print(_waves(found.isolation))
        screen.print(Text(found.costs, style="dim"))


def facts(dag: Dag, found: Forecast, seen: Foreseen, waiting: Sequence[dict[str, Any]]) -> Iterable[tuple[str, str]]:
    """A label and a sentence each, in the order in which people ask."""
    yield "takes", _length(found, seen)
    if seen.path:
        yield "critical path", _chain(found, seen)
    yield "starts", f"{dag.trigger.text}{_conditions(dag)}"
    if seen.starts:
        yield f"next {len(seen.starts)}", ", ".join(start.text for start in seen.starts)
    yield "then start", "; ".join(_waiter(one) for one in waiting) or "nothing waits for its end"
    if seen.deadline:
        due = seen.deadline
        yield "done by", f"{due['done_by']} {due['timezone']}" + (f": {due['text']}" if due["text"] else "")
    yield "owner", f"{dag.owner}{_contact(seen)}"
    yield "told", _told(seen)


def _length(found: Forecast, seen: Foreseen) -> str:
    from dbt_flow.report.words import count, duration

    parts = []
    if seen.seconds is not None:
        threads = count(found.threads, "thread")
        parts.append(f"about {duration(seen.seconds)} of building on {threads}, by what each node usually takes")
    if seen.runs:
        low, high = min(seen.runs), max(seen.runs)
        spread = f" ({duration(low)} to {duration(high)})" if len(seen.runs) > 1 else ""
        last = f"its last {len(seen.runs)} good runs took" if len(seen.runs) > 1 else "its last good run took"
        parts.append(f"{last} {duration(seen.usual)} in all{spread}")
    return "; ".join(parts) or "nobody knows: it has not run on this target yet"


def _chain(found: Forecast, seen: Foreseen) -> str:
    """The critical path; what a test of a chain takes is added to what stands before it."""
    from dbt_flow.report.words import duration

    chain: list[tuple[str, float | None]] = []
    for key, seconds in seen.path:
        node = found.plan.by_id[key]
        if node.is_test and chain:
            name, before = chain[-1]
            chain[-1] = (name, before if seconds is None else (before or 0.0) + seconds)
        else:
            chain.append((node.name, seconds))
    shown = [name if seconds is None else f"{name} ({duration(seconds)})" for name, seconds in chain[-_CHAIN:]]
    timed = [seconds for _, seconds in chain if seconds is not None]
    before_it = f"{len(chain) - _CHAIN} before, " if len(chain) > _CHAIN else ""
    total = f", {duration(sum(timed))} with their tests" if timed else ""
    return f"{before_it}{' > '.join(shown)}" + (f": {len(chain)} steps{total}" if len(chain) > 1 else "")


def _conditions(dag: Dag) -> str:
    trigger = dag.trigger
    said = [f"within {trigger.within}"] * bool(trigger.within)
    said += [f"at the latest at {trigger.at_latest}, otherwise {trigger.otherwise}"] * bool(trigger.at_latest)
    return f" ({', '.join(said)})" if said else ""


def _waiter(one: dict[str, Any]) -> str:
    words = [one["starts"]] * bool(one["others"]) + [one["owner"]] * bool(one["owner"])
    told = f" ({'; '.join(words)})" if words else ""
    return f"{'the flow ' * (one['kind'] == 'flow')}{one['name']}{told}"


def _contact(seen: Foreseen) -> str:
    return f" ({', '.join(f'{kind} {text}' for kind, text in seen.told.contact.items())})" if seen.told.contact else ""


def _told(seen: Foreseen) -> str:
    told = seen.told
    words = {"error": "errors", "warn": "errors and warnings"}
    said = []
    for level, verb, able in ((told.page, "page", told.pages), (told.notify, "message", told.notices)):
        if level == "off":
            said.append(f"no {verb}")
        else:
            nowhere = "" if able else f" (but no way for a {verb} is set in dbt_flow.yml: dbt-flow alerts test)"
            said.append(f"a {verb} for {words[level]}{nowhere}")
    others = [f"{owner} of {number} node{'' if number == 1 else 's'}" for owner, number in told.others.items()]
    return "; ".join([*said, *([f"of their own nodes: {', '.join(others)}"] if others else [])])


def counted(nodes: Iterable[Node]) -> str:
    """``12 models, 1 seed, 30 tests``."""
    kinds = Counter(node.type.replace("_", " ") for node in nodes)
    order = sorted(kinds.items(), key=lambda item: ("test" in item[0], -item[1]))
    return ", ".join(f"{number:,} {kind}{'' if number == 1 else 's'}" for kind, number in order)


def _group(screen: Any, found: Forecast, verb: str, items: Sequence[Decision]) -> None:
    """One decision: folder by folder when there is one reason, reason by reason when there are more."""
    from rich import box  # only for people
    from rich.table import Table
    from rich.text import Text

    by_id = found.plan.by_id
    reasons = Counter(item.reason for item in items)
    why = f", {next(iter(reasons))}" if len(reasons) == 1 else ""
    screen.print()
    screen.print(Text(f"{verb} {counted(by_id[item.id] for item in items)}{why}", style="bold"))
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    head = ("folder", "nodes", "tests") if len(reasons) == 1 else ("reason", "nodes", "tests")
    for column in head:
        table.add_column(column, overflow="fold", justify="right" if column == "tests" else "left")
    rows: dict[str, tuple[list[str], int]] = {}
    for item in items:
        node = by_id[item.id]
        key = item.reason if len(reasons) > 1 else _folder(node, by_id)
        names, tests = rows.get(key, ([], 0))
        rows[key] = (names, tests + 1) if node.is_test else ([*names, node.name], tests)
    for key, (names, tests) in list(rows.items())[:_SHOWN]:
        table.add_row(Text(key), Text(_few(names, _NAMES)), str(tests or ""))
    screen.print(table)
    if len(rows) > _SHOWN:
        screen.print(f"and {len(rows) - _SHOWN} more rows; --json has them all")


def _folder(node: Node, by_id: Any) -> str:
    """Of a test that of what it tests: people look for it there."""
    home = by_id.get(node.tests) if node.is_test else None
    path = PurePosixPath((home or node).path.replace("\\", "/"))
    return str(path.parent) if str(path.parent) != "." else path.name


def _few(names: Sequence[str], most: int) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def _line(label: str, text: str) -> Any:
    from rich.text import Text

    return Text.assemble((f"{label:<14} ", "dim"), text)


def _folded(told: Iterable[tuple[str, str]]) -> Any:
    """The same lines, each folded beside its label."""
    from rich.table import Table
    from rich.text import Text

    grid = Table.grid(padding=(0, 1, 0, 0))
    grid.add_column(style="dim", min_width=14, no_wrap=True)
    grid.add_column(overflow="fold")
    for label, text in told:
        grid.add_row(label, Text(text))
    return grid


def _steps(found: Forecast) -> Any:
    """What runs after what."""
    from rich import box  # only for people
    from rich.table import Table
    from rich.text import Text

    plan = found.plan
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in ("step", "type", "tests", "needs"):
        table.add_column(column, overflow="fold")
    for step in plan.steps:
        nodes = [plan.by_id[node] for node in step.nodes]
        body = next((node for node in nodes if not node.is_test), nodes[0])
        kind = body.materialized if body.type == "model" and body.materialized else body.type
        tests = sum(node.is_test for node in nodes)
        table.add_row(Text(step.name), Text(kind), str(tests or ""), Text(", ".join(step.needs)))
    return table


def _waves(shape: Any) -> Any:
    """The Metaflow flow of a DAG with isolated steps, wave by wave."""
    from rich import box  # only for people
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in ("Metaflow step", "builds", "resources", "then"):
        table.add_column(column, overflow="fold")
    words = {"warm": "what needs no step of its own", "pass": "nothing: it waits, or splits"}
    for step in shape.steps:
        said = needs_of(shape, step.name)
        needs = ", ".join([f"{said['memory']} MB"] * ("memory" in said) + [f"{said['cpu']} cpu"] * ("cpu" in said))
        builds = words.get(step.kind) or f"{step.step} with {len(shape.nodes[step.name]) - 1} tests"
        table.add_row(Text(step.name), Text(builds), Text(needs), Text(", ".join(step.next)))
    return table


def needs_of(shape: Any, step: str) -> dict[str, Any]:
    """What a step asks of its machine; memory is in MB, as Metaflow has it."""
    found = shape.needs.get(step)
    return dict(found.arguments) if found else {}
