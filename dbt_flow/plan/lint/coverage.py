"""What no DAG builds or tests, and what two do."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from dbt_flow.plan.lint.found import Found, Spot, some
from dbt_flow.plan.lint.landscape import Landscape, Look, Project
from dbt_flow.records import BUILT, TEST_TYPES, Member
from dbt_flow.yamlfile import did_you_mean

NO_DAG = "none"
"""What ``meta: {dag: none}`` says: in no DAG, on purpose."""


def in_no_dag(land: Landscape) -> Iterator[Found]:
    """Models, seeds and snapshots that no DAG builds, and that do not say that this is meant.

    Of installed packages only what is read by something that a DAG builds.
    """
    for project in land.projects:
        for member in project.members.values():
            spot = (project.folder, member.id)
            if member.type not in BUILT or spot in land.covered or NO_DAG in member.claims:
                continue
            if member.package != project.package and spot not in land.read:
                continue
            yield _orphan(land, project, member)


def _orphan(land: Landscape, project: Project, member: Member) -> Found:
    spot = Spot(project.folder, member.id)
    for claim in member.claims:
        if claim not in land.dags:
            near = did_you_mean(claim, land.dags)
            message = f"{member.name} is in no DAG: it claims {claim}, and there is no such DAG"
            fix = f"did you mean {near}?" if near else f"make dags/{claim}.yaml, or write meta: {{dag: none}}"
            return Found(message, fix, spot, nodes=(spot,))
        message = f"{member.name} is in no DAG: it claims {claim}, which has a selection of its own that does not take it"
        fix = f"take select, exclude and selector out of {land.dags[claim].file}, or widen them"
        return Found(message, fix, spot, nodes=(spot,))
    fix = "add it to a DAG's selection, or say that this is meant: meta: {dag: none} in its dbt config"
    return Found(f"the {member.type} {member.name} is in no DAG", fix, spot, nodes=(spot,))


def claimed_none(land: Landscape) -> Iterator[Found]:
    """Models that say they are in no DAG, and that one builds all the same."""
    for look in land.looks:
        for key in sorted(look.builds):
            member = look.members.get(key)
            if member is None or NO_DAG not in member.claims or not look.owns:
                continue
            spot = look.spot(member)
            message = f"{member.name} says that it is in no DAG (meta: {{dag: none}}), and {look.name} builds it"
            yield Found(message, "take one of the two back", spot, (look.name,), (spot,))


def built_twice(land: Landscape) -> Iterator[Found]:
    """Tables that two DAGs build on one target."""
    for look in land.looks:
        for member in (look.members[key] for key in sorted(look.builds) if key in look.members):
            if member.type not in BUILT or member.inlined or not look.owns:
                continue
            looks = land.builders[look.table(member)]
            if len(looks) < 2 or look is not looks[0]:
                continue
            names = [other.name for other in looks]
            where = "" if all(other.folder == look.folder for other in looks) else f" (the table {member.relation})"
            message = f"{' and '.join(names)} build {member.name}{where}" if len(names) == 2 else (
                f"{len(names)} DAGs build {member.name}{where}: {some(names)}"
            )  # fmt: skip
            last = looks[-1]
            fix = f"leave it to one of them, as with exclude: {member.name} in {last.dag.file}"
            yield Found(message, fix, last.dag.place(_key(last)), tuple(names), (look.spot(member),))


def _key(look: Look) -> str:
    """The key of a DAG that says what it builds."""
    return next((key for key in ("selector", "select", "exclude") if getattr(look.dag, key)), "owner")


def selects_nothing(land: Landscape) -> Iterator[Found]:
    """Selections, or words of them, that take nothing."""
    for look in land.looks:
        for key, sentence in look.nothing:
            whole = f"{look.name} selects nothing" if key in ("select", "exclude", "selector", "") else f"{key} takes nothing"
            message = f"{look.name}: {key}: {sentence}" if sentence else whole
            fix = "mend the word, or take it out; dbt ls shows what there is"
            if not key:
                message = f"no model claims the DAG {look.name}, and it has no select, exclude or selector"
                fix = f"write {{{{ in_dag('{look.name}') }}}} at the top of a model, or give the DAG a select:"
            yield Found(message, fix, look.dag.place(key or "owner"), (look.name,))


def never_tested(land: Landscape) -> Iterator[Found]:
    """Tests that no DAG runs, of what one builds, and of sources that one reads. The others follow from what is in no DAG."""
    for project in land.projects:
        idle: dict[str, list[Member]] = defaultdict(list)
        for member in project.members.values():
            if member.type not in TEST_TYPES or (project.folder, member.id) in land.covered:
                continue
            tested = member.tests if member.tests in project.members else None
            spots = [(project.folder, parent) for parent in member.parents]
            used = any(spot in land.covered or (spot in land.read and spot[1].startswith("source.")) for spot in spots)
            if (used or not spots) and member.package == project.package:
                idle[tested or member.id].append(member)
        for key, tests in idle.items():
            yield _idle(land, project, key, tests)


def _idle(land: Landscape, project: Project, key: str, tests: list[Member]) -> Found:
    names = sorted(test.name for test in tests)
    tested = project.members[key]
    of = "" if tested in tests else f" of {'the source ' if tested.type == 'source' else ''}{tested.name}"
    count = f"the test {names[0]}{of} never runs" if len(names) == 1 else f"{len(names)} tests{of} never run: {some(names)}"
    builder = next((look for look in land.looks if key in look.builds and look.owns), None)
    if tested.type == "source":
        fix = f"add source:{tested.name} to the selection of a DAG that reads it"
    elif builder is not None and builder.dag.tests.exclude:
        fix = f"mend tests.exclude in {builder.dag.file}, or add {names[0]} to another DAG's selection"
    else:
        fix = f"add {names[0]} to a DAG's selection; one that builds all that it reads, or waits for it"
    spots = tuple(Spot(project.folder, test.id) for test in tests)
    return Found(f"{count}: no DAG selects {'it' if len(names) == 1 else 'them'}", fix, spots[0], nodes=spots)


def exposure_not_built(land: Landscape) -> Iterator[Found]:
    """Exposures that stand on tables that no DAG builds, directly or through metrics."""
    for project in land.projects:
        for member in project.members.values():
            if member.type != "exposure" or member.package != project.package:
                continue
            lacking = sorted(
                parent.name for parent in _tables(project, member) if (project.folder, parent.id) not in land.covered
            )
            if lacking:
                spot = Spot(project.folder, member.id)
                message = f"no DAG builds {some(lacking)}, which the exposure {member.name} shows"
                fix = f"add it to a DAG's selection, as with select: +exposure:{member.name}"
                yield Found(message, fix, spot, nodes=(spot,))


def _tables(project: Project, member: Member) -> list[Member]:
    found, waiting, seen = [], list(member.parents), set[str]()
    while waiting:
        parent = project.members.get(waiting.pop())
        if parent is None or parent.id in seen:
            continue
        seen.add(parent.id)
        if parent.type in BUILT:
            found.append(parent)
        elif parent.type != "source":
            waiting += parent.parents
    return found


def not_dated(land: Landscape) -> Iterator[Found]:
    """Sources that a DAG requires to be fresh, and that do not say when they are."""
    for look in land.looks:
        for key in look.required:
            source = look.members[key]
            if source.freshness and source.dated:
                continue
            if not source.freshness:
                message = f"{look.name} requires {source.name} to be fresh, and the source has no freshness: nobody looks"
                fix = "give the source freshness: {error_after: {count: 24, period: hour}} in its dbt YAML"
            else:
                message = (
                    f"{look.name} requires {source.name} to be fresh, and {look.target.adapter} cannot say when it was loaded"
                )
                fix = "give the source a loaded_at_field: in its dbt YAML"
            place = look.dag.place("require_fresh")
            yield Found(message, fix, place, (look.name,), (look.spot(source),))
