"""``compare()``: the work tree against a revision of git: what moves between DAGs, which keys change, what is rebuilt.

find the commit -> write its files aside (checkout) -> read both fleets, parse each once, dbt's selection of each DAG (sides)
  -> memberships and keys compared (comparing) -> reasons, looked for in both states (reasons, evidence)
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from dbt_flow.errors import DbtFlowError, InputError, Refusals
from dbt_flow.pipeline.checkout import Revision, checked_out, find_revision
from dbt_flow.pipeline.comparing import Comparing, Comparison
from dbt_flow.pipeline.prepare import Phase
from dbt_flow.pipeline.sides import Side, furnish, left_alone, parse_side, read_side, settings_in
from dbt_flow.settings import Flags, Settings
from dbt_flow.yamlfile import did_you_mean, listed
from dbt_flow.yamlfile.naming import dag_name


def compare(settings: Settings, flags: Flags, said: str, names: Sequence[str], phase: Phase) -> Comparison:
    """The work tree as it is, uncommitted work included, against the revision ``said``.

    :param flags: what the command line said of folders
    :param names: DAGs to compare; all of them when empty
    :raises DbtFlowError: ``unknown-revision``; an unknown DAG; dbt refuses one of the two projects
    """
    phase(f"looking for {said}")
    revision = find_revision(settings.root, said)
    top = revision.top.resolve()
    now = read_side(settings, names)
    folders = [settings.root, settings.dags, *settings.dbt_projects]
    within = settings.root if all(_inside(path, settings.root) for path in folders) else top
    if not _inside(settings.root.resolve(), top):
        raise InputError("unknown-revision", f"{settings.root} lies outside of {top}", hint="compare inside the repository")
    phase(f"writing the files of {said} aside")
    with checked_out(revision, within.resolve() if _inside(within.resolve(), top) else top, settings.state) as folder:
        tree = folder.resolve()
        before, notes = _before(tree, top, flags, settings, revision, names)
        _known(names, before, now)
        parse_side(now, phase)
        if before is not None:
            notes += furnish(before.settings, settings, tree, top)
            try:
                parse_side(before, lambda text: phase(f"{said}: {text.replace(str(tree) + os.sep, '')}"))
            except DbtFlowError as error:
                raise _of(revision, error, tree) from None
        with left_alone():
            return Comparing(revision, before, now, notes, (top, tree)).compared(phase)


def _before(
    tree: Path, top: Path, flags: Flags, settings: Settings, revision: Revision, names: Sequence[str]
) -> tuple[Side | None, list[str]]:
    """The fleet at the revision; None where there was no project yet."""
    if not (tree / settings.root.resolve().relative_to(top)).is_dir():
        return None, [f"{revision.said} has no {settings.root.name}: everything is new"]
    try:
        found = settings_in(tree, top, flags, settings, os.environ)
    except InputError as error:
        if error.code == "no-project":
            return None, [f"{revision.said} has no dbt project here: everything is new"]
        raise _of(revision, error, tree) from None
    side = read_side(found, names)
    bad = [file for file in side.fleet.bad if not names or dag_name(found.root / file) in names]
    told = [
        f"{file} of {revision.said} cannot be used, and counts as if it were not there: {_first(side, file)}" for file in bad
    ]
    if not found.dags.is_dir():
        told = [f"{revision.said} has no folder of DAG files: every DAG is new"]
    return side, told


def _first(side: Side, file: str) -> str:
    return side.fleet.bad[file][0].message


def _known(names: Sequence[str], before: Side | None, now: Side) -> None:
    every: set[str] = set()
    for side in (now, *((before,) if before else ())):
        every.update(side.fleet.names(), (dag_name(side.settings.root / file) for file in side.fleet.bad))
    for name in names:
        if name not in every:
            near = did_you_mean(name, every)
            hint = f"did you mean {near}?" if near else f"the DAGs are: {listed(sorted(every)) or 'none yet'}"
            raise InputError("unknown-dag", f"no DAG is named {name}, now or before", hint=hint)


def _of(revision: Revision, error: DbtFlowError, tree: Path) -> DbtFlowError:
    """An error of the old state, which says so, and shows its files as they are named in the repository."""
    if isinstance(error, Refusals):
        return Refusals(_of(revision, one, tree) for one in error.errors)
    places = [f"{tree}{os.sep}", f"{os.path.relpath(tree)}{os.sep}"]
    places += [place[place.index(".dbt_flow") :] for place in places if ".dbt_flow" in place]

    def shown(text: str) -> str:
        for place in places:
            text = text.replace(place, "")
        return text

    hint: str | None = f"mend it and compare with a later revision than {revision.said}"
    if error.code == "dbt-packages":
        hint = "install the packages in your checkout, dbt deps: they are used for both states"
    elif error.hint and str(tree) not in error.hint:
        hint = shown(error.hint)
    place = replace(error.place, file=shown(error.place.file)) if error.place else None
    return type(error)(error.code, f"at {revision.said}: {shown(error.message)}", place=place, hint=hint)


def _inside(path: Path, folder: Path) -> bool:
    return path == folder or folder in path.parents
