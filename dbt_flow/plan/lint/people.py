"""Owners who are no team of ``dbt_flow.yml``. While that has no teams, every owner is good."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from dbt_flow.errors import Place
from dbt_flow.plan.lint.found import Found, Spot, some
from dbt_flow.plan.lint.landscape import Landscape
from dbt_flow.yamlfile import did_you_mean


def owner_gone(land: Landscape) -> Iterator[Found]:
    """Owners in DAG files, in dbt groups and in dbt meta who are no team; by name, or by a team's address."""
    if not land.owners:
        return
    for error in land.strangers:
        place = error.place or Place("dbt_flow.yml")
        dags = tuple(name for name, dag in land.dags.items() if dag.file == place.file or dag.place("owner") == place)
        yield Found(error.message, error.hint or "name a team of dbt_flow.yml", place, dags)
    known = {*land.owners, *(contact for contacts in land.owners.values() for contact in contacts.values())}
    for project in land.projects:
        for name, owners, path in project.groups:
            if owners and not known.intersection(owners):
                message = f"the dbt group {name} belongs to {owners[0]}, who is no owner in dbt_flow.yml"
                yield Found(message, _fix(land, owners[0]), Spot(project.folder, name, path))
        named: dict[str, list[Spot]] = defaultdict(list)
        for member in project.members.values():
            if member.owner_by == "meta" and member.owner not in known and member.package == project.package:
                named[str(member.owner)].append(Spot(project.folder, member.id))
        for owner, spots in named.items():
            names = [project.members[spot.id].name for spot in spots]
            message = f"{owner}, owner of {some(names)} by dbt meta, is no owner in dbt_flow.yml"
            yield Found(message, _fix(land, owner), spots[0], nodes=tuple(spots))


def _fix(land: Landscape, owner: str) -> str:
    near = did_you_mean(owner, land.owners)
    return f"did you mean {near}?" if near else "name a team that is there, or add this one under owners: in dbt_flow.yml"
