"""The table of rules, and what is silenced: in a DAG file, in dbt meta, or in ``dbt_flow.yml``, each with a reason."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from dbt_flow.errors import Place
from dbt_flow.plan.lint import coverage, people, waiting, when
from dbt_flow.plan.lint.found import Found, Rule, Spot
from dbt_flow.plan.lint.landscape import Landscape
from dbt_flow.yamlfile import did_you_mean


def _told_with_the_silences(_land: Landscape) -> Iterator[Found]:
    yield from ()


RULES: Mapping[str, Rule] = {
    rule.code: rule
    for rule in (
        Rule(
            "built-twice",
            "error",
            "two DAGs that build one table overwrite each other, and who reads it may see either",
            "carrier_risk and nightly build fct_loads",
            coverage.built_twice,
        ),
        Rule(
            "reads-without-waiting",
            "error",
            "a DAG that starts by the clock reads what another is still building as soon as that one is late",
            "report reads fct_loads, which carrier_risk builds, and does not wait for it: it starts every day at 07:00 UTC",
            waiting.reads_without_waiting,
        ),
        Rule(
            "trigger-circle",
            "error",
            "DAGs that wait for each other never start",
            "a circle: a waits for b, which waits for a",
            waiting.trigger_circle,
        ),
        Rule(
            "selects-nothing",
            "error",
            "a tag or name that was changed drops tables from a DAG without a word",
            "nightly: select: The selection criterion 'tag:nightyl' does not match any enabled nodes",
            coverage.selects_nothing,
        ),
        Rule(
            "exposure-not-built",
            "error",
            "somebody looks at data that nothing keeps up to date",
            "no DAG builds mart_lanes, which the exposure lanes_board shows",
            coverage.exposure_not_built,
            whole=True,
        ),
        Rule(
            "unknown-owner",
            "error",
            "a page for an owner who left reaches nobody",
            'no owner is named "team-that-left"',
            people.owner_gone,
        ),
        Rule(
            "no-freshness",
            "error",
            "a source that says nothing of its freshness is taken as fresh",
            "nightly requires raw.orders to be fresh, and the source has no freshness: nobody looks",
            coverage.not_dated,
        ),
        Rule(
            "in-no-dag",
            "warning",
            "a model that no DAG builds is stale for whoever reads it",
            "the model mart_lanes is in no DAG",
            coverage.in_no_dag,
            whole=True,
        ),
        Rule(
            "claimed-none",
            "warning",
            "a model cannot be in no DAG and in one",
            "tmp_loads says that it is in no DAG (meta: {dag: none}), and nightly builds it",
            coverage.claimed_none,
        ),
        Rule(
            "never-starts",
            "warning",
            "what nothing starts is stale, and nobody is told",
            "nothing starts nightly: it has no trigger",
            waiting.never_starts,
        ),
        Rule(
            "piles-up",
            "warning",
            "a DAG that is due again before it is done falls behind, or leaves starts out",
            "nightly usually takes 75 min and starts every 60 min: starts are left out",
            when.piles_up,
            past=True,
        ),
        Rule(
            "clock-change",
            "warning",
            "a start in an hour that a daylight-saving change takes or repeats is skipped or doubled",
            "the start at 02:30 on 2027-03-28 is skipped: that time does not exist in Europe/Berlin",
            when.clock_change,
        ),
        Rule(
            "deadline-too-early",
            "warning",
            "a deadline that is missed every day is a page that nobody reads",
            "nightly is due by 07:00 and usually done at 07:40, 40 min late: it starts every day at 06:00 and takes 1 h 40 min",
            when.deadline_too_early,
            past=True,
        ),
        Rule(
            "test-never-runs",
            "warning",
            "a test that no DAG runs guards nothing, and looks as if it did",
            "the test not_null_fct_loads_id of fct_loads never runs: no DAG selects it",
            coverage.never_tested,
            whole=True,
        ),
        Rule(
            "silences-nothing",
            "warning",
            "a silence that is left behind hides the next finding of its kind",
            "built-twice is silenced here, and there is nothing to silence",
            _told_with_the_silences,
        ),
        Rule(
            "no-reason",
            "warning",
            "a silence without a reason cannot be judged by whoever reads it next",
            "built-twice is silenced here without a reason",
            _told_with_the_silences,
        ),
    )
}
"""Every rule by its code. The two last are about silences, and cannot be silenced."""

ABOUT_SILENCES = frozenset({"silences-nothing", "no-reason"})


@dataclass(frozen=True)
class Silence:
    """One line that says that a finding is meant."""

    code: str
    reason: str | None
    place: Place | Spot
    dags: tuple[str, ...] = ()
    """The DAGs it is for; those under one defaults file share a silence. With :attr:`nodes` also empty: for the whole fleet."""
    nodes: tuple[Spot, ...] = ()
    """The members whose meta says it; those under one folder of ``dbt_project.yml`` share a silence."""
    judged: bool = True
    """Whether enough is known of the past to call it stale."""

    def covers(self, code: str, found: Found) -> bool:
        """Whether it is about a finding: about one of its nodes, when it stands in a node's meta."""
        if code != self.code or not (self.reason or "").strip():
            return False
        if self.nodes:
            return not set(self.nodes).isdisjoint(found.nodes)
        return not self.dags or bool(set(self.dags) & set(found.dags))


def silenced(land: Landscape, silences: Iterable[Silence], whole: bool) -> list[tuple[Rule, Found]]:
    """What the rules find and nobody silenced, and what is wrong with the silences.

    :param whole: whether every DAG file could be read; rules about what no DAG does are left out otherwise
    """
    known, used = tuple(silences), set[Silence]()
    left: list[tuple[Rule, Found]] = []
    for rule in RULES.values():
        if rule.whole and not whole:
            continue
        for found in rule.judge(land):
            covering = [silence for silence in known if silence.covers(rule.code, found)]
            by_nodes = {spot for silence in covering for spot in silence.nodes}
            used.update(covering)
            if all(silence.nodes for silence in covering) and not (covering and by_nodes >= set(found.nodes)):
                left.append((rule, found))
    for silence in known:
        left += _wrong(silence, silence in used, whole)
    return left


def _wrong(silence: Silence, used: bool, whole: bool) -> Iterator[tuple[Rule, Found]]:
    dags, nodes = silence.dags, silence.nodes
    if silence.code not in RULES or silence.code in ABOUT_SILENCES:
        near = did_you_mean(silence.code, set(RULES) - ABOUT_SILENCES)
        fix = (
            f"did you mean {near}?"
            if near
            else f"the codes are: {', '.join(code for code in RULES if code not in ABOUT_SILENCES)}"
        )
        message = f"{silence.code} is silenced here, and no rule has that code"
        yield RULES["silences-nothing"], Found(message, fix, silence.place, dags, nodes)
    elif not (silence.reason or "").strip():
        fix = f"write {silence.code}: and why it is meant"
        yield RULES["no-reason"], Found(f"{silence.code} is silenced here without a reason", fix, silence.place, dags, nodes)
    elif not used and whole and silence.judged:
        message = f"{silence.code} is silenced here, and there is nothing to silence"
        yield RULES["silences-nothing"], Found(message, "delete the line", silence.place, dags, nodes, others=(silence.code,))
