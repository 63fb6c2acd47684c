"""``select()``: which nodes ``dbt build`` of a selection takes. No selector syntax is read here: dbt's own code decides."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from dbt_flow.errors import ProjectError
from dbt_flow.project.parsing import Parsed
from dbt_flow.project.place import working_in
from dbt_flow.project.refusals import cleaned, refusal
from dbt_flow.project.seams import invocation, selection


@dataclass(frozen=True)
class Selection:
    """What a selection takes, and which parts of it took nothing."""

    ids: frozenset[str]
    unmatched: tuple[str, ...] = ()
    """dbt's sentences about criteria that match no enabled node; dbt itself goes on."""


def select(
    parsed: Parsed,
    include: tuple[str, ...] = (),
    exclude: tuple[str, ...] = (),
    selector: str | None = None,
    state: Path | None = None,
) -> frozenset[str]:
    """The ids that ``dbt build`` of this selection takes: :func:`selection_of` without its remarks."""
    return selection_of(parsed, include, exclude, selector, state).ids


def selection_of(
    parsed: Parsed,
    include: tuple[str, ...] = (),
    exclude: tuple[str, ...] = (),
    selector: str | None = None,
    state: Path | None = None,
) -> Selection:
    """What ``dbt build --select INCLUDE --exclude EXCLUDE``, or ``--selector SELECTOR``, takes; with none, its default.

    Ephemeral models are among the ids, as dbt takes them too; :func:`.facts_of.facts` tells them apart.

    :param state: the folder of an earlier manifest, for ``state:``.
    :raises ProjectError: ``dbt-selector`` with dbt's complaint.
    """
    if selector and (include or exclude):
        raise ProjectError(
            "dbt-selector",
            f"selector {selector} stands beside select or exclude; dbt would leave those out without a word",
            hint="use one or the other, or write the exclusion into the selector in selectors.yml",
        )
    choose = partial(selection.selected_by_build, kept=parsed.kept)
    return _asked(parsed, _command(parsed, include, exclude, selector, state), choose)


def sources_of(parsed: Parsed, include: tuple[str, ...]) -> Selection:
    """The sources that ``dbt source freshness --select INCLUDE`` would ask, and those that say nothing of their freshness.

    :raises ProjectError: ``dbt-selector`` with dbt's complaint.
    """
    return _asked(parsed, _command(parsed, include, (), None, None), selection.selected_sources)


def _asked(parsed: Parsed, command: list[str], choose: Callable[[Any, Any, Any, Any], set[str]]) -> Selection:
    graph = parsed.graph
    with working_in(parsed.project.folder), invocation.overhearing() as heard:
        try:
            with invocation.flags_of(command) as flags:
                ids = choose(flags, parsed.config, parsed.manifest, graph)
        except Exception as error:
            raise refusal(error, parsed.project, code="dbt-selector") from None
    for event in heard:
        if event.info.name == "SelectorReportInvalidSelector":
            raise ProjectError("dbt-selector", cleaned(event.info.msg), hint=_methods(event))
    unmatched = [cleaned(event.info.msg) for event in heard if event.info.name == "NoNodesForSelectionCriteria"]
    return Selection(frozenset(ids), tuple(dict.fromkeys(unmatched)))


def _command(
    parsed: Parsed, include: tuple[str, ...], exclude: tuple[str, ...], selector: str | None, state: Path | None
) -> list[str]:
    command = ["build", *parsed.arguments()]
    # dbt splits at single spaces; YAML may have left line ends and runs of spaces.
    for flag, words in (("--select", include), ("--exclude", exclude)):
        if words:
            command += [flag, " ".join(" ".join(words).split())]
    if selector:
        command += ["--selector", selector]
    if state:
        command += ["--state", str(state.absolute())]
    return command


def _methods(event: Any) -> str:
    return f"dbt knows these methods: {event.data.valid_selectors}"
