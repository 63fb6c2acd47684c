"""The same story as the card's head and failures, in a few plain lines for the terminal.

Lines are plain text with the name of a rich style beside each, so that nothing a warehouse says can be read as markup::

    for line in story(plan, result, width=console.width):
        console.print(Text(line.text, style=line.style))
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from dbt_flow.plan.planned import Plan
from dbt_flow.records import RUN_CANCELLED, RUNNING, SUCCESS, RunResult
from dbt_flow.report.causes import Cause, root_causes
from dbt_flow.report.extra import CardExtra
from dbt_flow.report.failures import Failures
from dbt_flow.report.headline import built_as_it_is, counts_line, next_command, sentence
from dbt_flow.report.words import clean, count, duration, one_line, plain_message, says_nothing

MOST_CAUSES, MESSAGE_LINES = 8, 4


class Line(NamedTuple):
    """A line for the terminal."""

    text: str
    style: str = ""
    """A rich style: ``bold green``, ``red``, ``dim``; empty for plain."""


def story(
    plan: Plan | None,
    result: RunResult,
    *,
    width: int = 100,
    commands: Mapping[str, str] | None = None,
    extra: CardExtra | None = None,
) -> tuple[Line, ...]:
    """What happened, each root cause once, the counts, and the next command.

    :param extra: what is known beside the run: since when something fails, and after which change
    """
    width = max(width, 40)
    causes = root_causes(plan, result)
    lines = [*_wrapped(_status(plan, result, causes), width, "", _style(result, causes))]
    if result.error:
        lines += _refusal(result, width)
    failures = Failures(plan, {node.id: node for node in result.nodes}, result, extra) if extra else None
    for cause in causes[:MOST_CAUSES]:
        lines += _told(cause, width)
        lines += _wrapped(failures.beginning(cause) if failures else "", width, "    ", "dim")
    if len(causes) > MOST_CAUSES:
        lines += [Line(""), Line(f"  and {count(len(causes) - MOST_CAUSES, 'more cause')}: see the card", "dim")]
    counts = counts_line(plan, result)
    if causes or result.error:
        lines.append(Line(""))
    if counts:
        lines += _wrapped(counts, width, "  ", "dim")
    stays = built_as_it_is(plan, result, causes)
    if stays:
        lines += _wrapped(stays, width, "  ", "")
    label, command = next_command(result, commands or {})
    if command:
        # Not wrapped: a command that is cut by a line's end cannot be copied.
        lines.append(Line(f"  {label}: {one_line(command, 1000)}", "bold"))
    return tuple(lines)


def _status(plan: Plan | None, result: RunResult, causes: tuple[Cause, ...]) -> str:
    good = result.status == SUCCESS and not causes
    mark = "✓" if good else {RUNNING: "▸", RUN_CANCELLED: "■"}.get(result.status, "✕")
    took = f" ({duration(result.seconds)})" if result.seconds else ""
    return f"{mark} {one_line(result.dag, 120)}: {sentence(plan, result, causes).rstrip('.')}{took}"


def _style(result: RunResult, causes: tuple[Cause, ...]) -> str:
    if result.status == SUCCESS and not causes:
        return "bold green"
    return {RUNNING: "bold blue", RUN_CANCELLED: "bold magenta"}.get(result.status, "bold red")


def _refusal(result: RunResult, width: int) -> Iterator[Line]:
    error = result.error or {}
    place = ":".join(str(error[key]) for key in ("file", "line", "column") if error.get(key))
    if place:
        yield Line(f"  {one_line(place, 300)}", "bold")
    said = clean(error.get("message") or "")
    if one_line(said) != one_line(result.reason):
        for line in said.split("\n")[:12]:
            yield from _wrapped(line.rstrip(), width, "  ", "")
    for line in clean(error.get("hint") or "", 1000).split("\n"):
        yield from _wrapped(f"-> {line}" if line else "", width, "  ", "yellow")


def _told(cause: Cause, width: int) -> Iterator[Line]:
    yield Line("")
    yield from _wrapped(f"✕ {one_line(cause.headline, 400)}", width, "  ", "red")
    facts = [
        one_line(cause.name, 200),
        one_line(cause.node.path, 200) if cause.node else "",
        f"owner {one_line(cause.owner, 80)}" if cause.owner else "",
        f"blocks {len(cause.blocks):,}" if cause.blocks else "",
    ]
    yield from _wrapped(" · ".join(fact for fact in facts if fact), width, "    ", "dim")
    message = "" if says_nothing(cause.result.message) else plain_message(cause.result.message)
    spoken = [line for line in message.split("\n") if line.strip()]
    if spoken and one_line(spoken[0], 100) in cause.headline:
        spoken = spoken[1:]  # the headline has said it
    for line in spoken[:MESSAGE_LINES]:
        yield from _wrapped(line, width, "    ", "")
    if len(spoken) > MESSAGE_LINES:
        yield Line(f"    … {count(len(spoken) - MESSAGE_LINES, 'more line')}", "dim")


def _wrapped(text: str, width: int, indent: str, style: str) -> Iterator[Line]:
    """``text`` in lines of at most ``width``; one that fits keeps its spaces, so a caret stays where it points."""
    if len(indent) + len(text) <= width:
        if text:
            yield Line(indent + text.expandtabs(4), style)
        return
    hanging = indent if len(indent) >= 4 else indent + "  "
    for place, line in enumerate(textwrap.wrap(text, width - len(hanging), break_on_hyphens=False)[:6]):
        yield Line((hanging if place else indent) + line, style)
