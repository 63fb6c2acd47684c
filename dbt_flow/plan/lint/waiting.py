"""Who waits for whom: reading what another is still building, circles, and DAGs that nothing starts."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping

import networkx as nx

from dbt_flow.errors import Place
from dbt_flow.plan.lint.found import Found, some
from dbt_flow.plan.lint.landscape import Landscape, Look
from dbt_flow.records import Member


def reads_without_waiting(land: Landscape) -> Iterator[Found]:
    """DAGs that read a table which another builds, and do not wait for that one, directly or through others."""
    for look in land.looks:
        apart: dict[str, list[Member]] = {}
        for builder, tables in unwaited(land, look).items():
            if look.name in land.sure.get(builder, ()):
                names = sorted({table.name for table in tables})
                message = f"{look.name} reads {some(names)}, which {builder} builds, and {builder} waits for {look.name}"
                fix = f"move {names[0]} into {look.name}, or what reads it into a DAG that starts after {builder}"
                spots = tuple(look.spot(table) for table in tables)
                yield Found(message, fix, look.dag.place("trigger"), (look.name,), spots, others=(builder,))
            else:
                apart[builder] = tables
        if apart:
            yield _apart(land, look, apart)


def _apart(land: Landscape, look: Look, apart: Mapping[str, list[Member]]) -> Found:
    """One finding for a DAG, whatever number of others it reads from."""
    needed, after = least(land, apart), look.dag.trigger.after
    if len(apart) == 1:
        [(builder, tables)] = apart.items()
        reads = f"{some(sorted({table.name for table in tables}))}, which {builder} builds, and does not wait for it"
    else:
        parts = [f"{some(sorted({table.name for table in tables}))} of {builder}" for builder, tables in apart.items()]
        reads = f"{'; '.join(parts)}; and waits for none of them"
    written = needed[0] if len(needed) == 1 else f"[{', '.join(needed)}]"
    fix = f"write trigger: {{after: {written}}}, or let dbt-flow lint --fix do it where it is safe"
    if after is not None:
        fix = f"add {' and '.join(needed)} to its after:"
    spots = tuple(look.spot(table) for tables in apart.values() for table in tables)
    message = f"{look.name} reads {reads}: it starts {_start(look)}"
    return Found(message, fix, look.dag.place("trigger"), (look.name,), spots, others=tuple(apart))


def least(land: Landscape, names: Iterable[str]) -> list[str]:
    """Those for which it is enough to wait: the others have ended before them."""
    known = list(names)
    return [one for one in known if not any(one in land.sure.get(other, ()) for other in known)]


def _start(look: Look) -> str:
    return look.dag.trigger.text if look.dag.trigger.kind != "none" else "by hand, as it has no trigger"


def unwaited(land: Landscape, look: Look) -> Mapping[str, list[Member]]:
    """The DAGs that build what a DAG reads and for which it does not wait, each with the tables.

    Of several builders of one table it is enough to wait for one. Who starts a DAG by hand, and says so, sees to it.
    """
    found: dict[str, list[Member]] = defaultdict(list)
    if look.by_hand or not look.owns:
        return found
    sure = land.sure.get(look.name, frozenset())
    for table in _read(look):
        builders = [builder.name for builder in land.builders.get(look.table(table), ())]
        if builders and look.name not in builders and not sure.intersection(builders):
            found[builders[0]].append(table)
    return found


def _read(look: Look) -> Iterator[Member]:
    """Tables that a DAG reads and does not build; each once. A unit test reads none: its rows are given."""
    seen: set[str] = set()
    for key in sorted(look.builds):
        member = look.members.get(key)
        if member is None or member.type == "unit_test" or member.inlined:
            continue
        for parent in look.above(member):
            if parent.id not in seen and parent.id not in look.builds and not parent.inlined and parent.relation:
                seen.add(parent.id)
                yield parent


def sources_read(look: Look) -> Iterator[Member]:
    """Sources that it reads, directly or through ephemerals."""
    return (table for table in _read(look) if table.type == "source")


def trigger_circle(land: Landscape) -> Iterator[Found]:
    """DAGs and ML flows that wait for each other in a circle."""
    graph: nx.DiGraph[str] = nx.DiGraph()
    graph.add_edges_from((name, other) for name, waiter in land.waiters.items() for other in waiter.waits)
    for knot in nx.strongly_connected_components(graph):
        start = min(knot, key=lambda name: (name not in land.dags, name))
        if len(knot) == 1 and not graph.has_edge(start, start):
            continue
        path = [edge[0] for edge in nx.find_cycle(graph.subgraph(knot), start)]
        dags = tuple(sorted(name for name in knot if name in land.dags))
        words = f"{path[0]} waits for itself"
        if len(path) > 1:
            words = f"a circle: {path[0]} waits for " + ", which waits for ".join([*path[1:], path[0]])
        place = land.dags[dags[0]].place("trigger.after") if dags else Place("dbt_flow.yml")
        yield Found(words, "take one of these out of its after:", place, dags)


def never_starts(land: Landscape) -> Iterator[Found]:
    """DAGs that nothing starts: without a trigger, or waiting for what nobody here has. ``trigger: none`` says it is meant."""
    for look in land.looks:
        if look.dag.trigger.kind == "none" and not look.by_hand:
            message = f"nothing starts {look.name}: it has no trigger"
            fix = "write trigger: {schedule: ...}, {after: ...} or {event: ...}, or trigger: none when a person starts it"
            yield Found(message, fix, look.dag.place("owner"), (look.name,))
    for error in land.deaf:
        place = error.place or Place("dbt_flow.yml")
        dags = tuple(name for name, dag in land.dags.items() if dag.file == place.file)
        yield Found(error.message, error.hint or "name what is there", place, dags)
