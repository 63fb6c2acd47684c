"""What the caller adds to a plan and a result before a card is made of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class LastGood:
    """What is known of the last good run before this one: what a failure is compared with."""

    run: str
    started: str
    checksums: Mapping[str, str] = field(default_factory=dict)
    """Of the code of each node that it planned."""
    rows: Mapping[str, int] = field(default_factory=dict)
    """Of each node that it built and of each source, where they were counted."""


@dataclass(frozen=True)
class Waiting:
    """Who waits for this DAG's data: a DAG or a training flow, an exposure's reader is none."""

    kind: str
    """``DAG`` or ``flow``."""
    name: str
    owner: str = ""
    starts: bool = False
    """Whether it starts when this DAG has finished."""
    reads: tuple[str, ...] = ()
    """Ids of this DAG's nodes that it reads."""


@dataclass(frozen=True)
class CardExtra:
    """What a card shows beside the plan and the result."""

    history: tuple[Mapping[str, Any], ...] = ()
    """The last runs before this one, oldest first: ``run``, ``status``, ``seconds``, ``started``; perhaps ``failed``, the ids
    that were not good, from which the card tells since when a node fails."""
    live: bool = False
    """The run goes on: the card shows how far it is and refreshes itself."""
    updated: str = ""
    """When a live card was written."""
    commands: Mapping[str, str] = field(default_factory=dict)
    """What to type: ``retry``, ``card``, and ``reproduce``, in which ``{node}`` stands for the failing node's name."""
    owner_contact: Mapping[str, Any] | None = None
    """How to reach the DAG's owner: any of ``slack``, ``email``, ``url``, ``name``."""
    description: str = ""
    running: tuple[tuple[str, str], ...] = ()
    """What is being built now: node id and when it began."""
    phase: str = ""
    """What goes on before there is a plan, as in ``parsing the dbt project``."""
    deadline: Mapping[str, Any] | None = None
    """``words`` (07:00 America/Chicago), ``state`` (held, open, risk, late), ``said``: a sentence."""
    links: Mapping[str, str] = field(default_factory=dict)
    """Where ``card`` and ``metaflow``'s page of this run are served; what is not served has no link."""
    usual: Mapping[str, float] = field(default_factory=dict)
    """Seconds that each node usually takes."""
    rows: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    """Row counts of each node in earlier runs, oldest first."""
    source_rows: Mapping[str, int] = field(default_factory=dict)
    """Rows of the sources now, where the warehouse says."""
    freshness: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """By source id, as in dbt's ``sources.json``: ``status``, ``max_loaded_at``, ``max_loaded_at_time_ago_in_s``."""
    last_good: LastGood | None = None
    waiting: tuple[Waiting, ...] = ()
    quarantined: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """By id, tests that are known to be bad: ``until``, ``owner``, ``reason``."""
