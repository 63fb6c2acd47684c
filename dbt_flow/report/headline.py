"""The head of the card: a word, a sentence of what happened, what to do next, and the counts behind them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any

from dbt_flow.plan.planned import Plan
from dbt_flow.records import FAILED, GOOD, REUSED, RUN_CANCELLED, RUNNING, SKIPPED, SUCCESS, NodeResult, RunResult, utc_text
from dbt_flow.report.causes import FAILED_KIND, LOST_KIND, Cause, complete_results
from dbt_flow.report.estimate import seconds_left
from dbt_flow.report.extra import CardExtra
from dbt_flow.report.tables import empty_ones
from dbt_flow.report.words import clean, count, duration, moment, one_line, usual_seconds

_COPIES = ("table", "incremental", "snapshot", "seed")
"""Materializations that hold rows of their own: they do not change when what they were made from is mended."""


def headline(plan: Plan | None, run: RunResult, causes: Sequence[Cause], extra: CardExtra) -> dict[str, Any]:
    """The head of the card: ``look`` (good, warn, bad, stop, run), ``word``, ``sentence``, ``next`` and ``counts``."""
    results = complete_results(plan, run)
    open_now = (NodeResult(id=node, status=RUNNING) for node, _ in extra.running)
    counts = counted(plan, (*results, *open_now))
    look, word = _word(plan, run, causes, results)
    if look == "good" and empty_ones(plan, results, extra):
        look, word = "warn", "Good, with warnings"
    return {
        "look": look,
        "word": word,
        "sentence": _sentence(plan, run, causes, results, extra),
        "next": _next(plan, run, causes, results, extra),
        "counts": counts,
        "progress": _progress(plan, run, results, extra),
    }


def _word(plan: Plan | None, run: RunResult, causes: Sequence[Cause], results: Iterable[NodeResult]) -> tuple[str, str]:
    if run.status == RUNNING:
        return ("bad", "Running, with failures") if causes else ("run", "Running")
    if run.status == RUN_CANCELLED:
        return "stop", "Cancelled"
    if run.status == SUCCESS and not causes:
        warned = any(node.status == "warn" for node in results)
        return ("warn", "Good, with warnings") if warned else ("good", "Good")
    if plan is None and run.error and not run.nodes:
        return "bad", "Could not start"
    if any(cause.kind == LOST_KIND for cause in causes):
        return "bad", "Died"
    return "bad", "Failed"


def counted(plan: Plan | None, results: Iterable[NodeResult]) -> list[dict[str, Any]]:
    """Statuses with how often each occurs, for models (with seeds and snapshots) and for tests; worst first."""
    known = plan.by_id if plan else {}
    groups: dict[str, Counter[str]] = {"model": Counter(), "test": Counter()}
    for node in results:
        is_test = known[node.id].is_test if node.id in known else node.id.startswith(("test.", "unit_test."))
        groups["test" if is_test else "model"][node.status] += 1
    for planned in plan.nodes if plan else ():
        # What a running run has not heard of yet waits; an ended run has a result for every planned node.
        groups["test" if planned.is_test else "model"]["waiting"] += 1
    for kind, group in groups.items():
        if plan:
            total = group.pop("waiting", 0)
            rest = total - sum(group.values())
            if rest > 0:
                group["waiting"] = rest
        groups[kind] = group
    return [
        {"what": kind, "total": sum(group.values()), "by": [[status, group[status]] for status in sorted(group, key=_worst)]}
        for kind, group in groups.items()
        if sum(group.values())
    ]


def _worst(status: str) -> tuple[int, str]:
    order = {SKIPPED: 1, "waiting": 2, RUNNING: 3, "warn": 4}
    return (order.get(status, 5 if status in GOOD else 0), status)


def counts_line(plan: Plan | None, run: RunResult) -> str:
    """``24 models: 22 success, 1 error, 1 skipped · 61 tests: 61 pass``."""
    parts = []
    for group in counted(plan, complete_results(plan, run)):
        by = ", ".join(f"{number:,} {one_line(status, 30)}" for status, number in group["by"])
        parts.append(f"{count(group['total'], group['what'])}: {by}")
    return " · ".join(parts)


def sentence(plan: Plan | None, run: RunResult, causes: Sequence[Cause]) -> str:
    """What happened, in one sentence: the run's own reason where it has one."""
    return _sentence(plan, run, causes, complete_results(plan, run), CardExtra())


def _sentence(
    plan: Plan | None, run: RunResult, causes: Sequence[Cause], results: Sequence[NodeResult], extra: CardExtra
) -> str:
    if run.status == RUNNING:
        return _running_sentence(plan, results, extra)
    said = one_line(run.reason, 320)
    if said:
        return said if said[-1] in ".!?…" else said + "."
    if run.error:
        return one_line(run.error.get("message") or "The run was refused.", 320)
    if not causes:
        return _good_sentence(counted(plan, results))
    skipped = sum(node.status == SKIPPED for node in results)
    broken = sum(len(cause.results) for cause in causes if cause.kind != "skipped")
    kept = sum(node.good for node in results)
    blocked = f" and {skipped:,} {'was' if skipped == 1 else 'were'} skipped because of {'it' if broken == 1 else 'them'}"
    failed = f"{broken:,} of {count(len(results), 'node')} failed{blocked if skipped else ''}"
    return f"{failed}; {'all others' if not skipped else f'the other {kept:,}'} are good." if kept else f"{failed}."


def _good_sentence(counts: Sequence[dict[str, Any]]) -> str:
    """``All 15 models are built and all 30 tests passed.``"""
    parts = []
    for group in counts:
        total, is_test = group["total"], group["what"] == "test"
        warned = sum(number for status, number in group["by"] if status == "warn")
        reused = sum(number for status, number in group["by"] if status == REUSED)
        whose = f"all {total:,} {group['what']}s" if total > 1 else f"the one {group['what']}"
        done = "passed" if is_test else "are good" if total > 1 else "is good"
        asides = [f"{warned:,} with a warning"] if warned else []
        asides += [f"{reused:,} reused"] if reused else []
        parts.append(f"{whose} {done}" + (f" ({', '.join(asides)})" if asides else ""))
    text = " and ".join(parts) or "nothing was planned"
    return f"{text[:1].upper()}{text[1:]}."


def _running_sentence(plan: Plan | None, results: Sequence[NodeResult], extra: CardExtra) -> str:
    if plan is None:
        phase = one_line(extra.phase, 200)
        return f"{phase[:1].upper()}{phase[1:]}." if phase else "Getting ready."
    done = len(results)
    left = len(plan.nodes) - done
    usual = usual_seconds(extra.history)
    usually = f" It usually takes {duration(usual)}." if usual else ""
    busy = f", {len(extra.running):,} being built now" if extra.running else ""
    return f"{done:,} of {count(len(plan.nodes), 'node')} done, {left:,} to go{busy}.{usually}"


def _next(plan: Plan | None, run: RunResult, causes: Sequence[Cause], results: Sequence[NodeResult], extra: CardExtra) -> str:
    if run.status == RUNNING:
        return "What does not depend on a failure goes on." if causes else ""
    if run.status == SUCCESS and not causes:
        warned = sum(node.status == "warn" for node in results) + len(empty_ones(plan, results, extra))
        return f"Nothing is blocked; {count(warned, 'warning')} to look at below." if warned else "Nothing to do."
    if plan is None or not causes:
        return clean(run.error.get("hint") or "", 500) if run.error else ""
    first = causes[0]
    retry = bool(extra.commands.get("retry"))
    if first.kind == FAILED_KIND:
        facts = [f"owner {one_line(first.owner, 80)}"] if first.owner else []
        facts += [f"blocks {count(len(first.blocks), 'node')}"] if first.blocks else []
        told = f" ({', '.join(facts)})" if facts else ""
        start = f"Start here: {one_line(first.headline, 200)}{told}."
        stays = built_as_it_is(plan, run, causes)
        return start + (f" {stays}" if stays else " Then retry: what is good is not built again." if retry else "")
    return "Retry: only what has no good result is built." if retry else ""


def built_as_it_is(plan: Plan | None, run: RunResult, causes: Sequence[Cause]) -> str:
    """Where a test found rows in a table: that a retry only tests the table again. Empty where a retry sees what was mended."""
    for cause in causes:
        tested = plan.by_id.get(cause.node.tests or "") if plan and cause.node and cause.node.type == "test" else None
        if cause.result.status == "fail" and tested and tested.materialized in _COPIES:
            name = one_line(tested.name, 80)
            mended = f"when its data or code is mended, dbt-flow run {run.dag} builds it anew"
            return f"{name} was built, and holds these rows: {mended}; a retry only tests it again."
    return ""


def _progress(plan: Plan | None, run: RunResult, results: Sequence[NodeResult], extra: CardExtra) -> dict[str, Any] | None:
    if run.status != RUNNING or plan is None:
        return None
    done, total = len(results), len(plan.nodes)
    usual, started, now = usual_seconds(extra.history), moment(run.started), moment(extra.updated)
    left = seconds_left(plan, results, dict(extra.running), extra.usual, extra.updated) if done < total else None
    if left is None and usual and started and now:
        left = usual - (now - started).total_seconds()
    end = utc_text(now + timedelta(seconds=left)) if now and left and left > 0 else None
    waiting = total - done - len(extra.running)
    facts = {"done": done, "total": total, "running": len(extra.running), "waiting": max(waiting, 0)}
    return {**facts, "left": left if end else None, "end": end}


def next_command(run: RunResult, commands: Mapping[str, str]) -> tuple[str, str]:
    """The one command to type next, with what to call it: retry after a run that is not good, else the card."""
    if run.status in (FAILED, RUN_CANCELLED):
        return "next", commands.get("retry") or commands.get("card") or ""
    return "card", commands.get("card") or ""
