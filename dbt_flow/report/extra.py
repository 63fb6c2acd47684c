"""What the caller adds to a plan and a result before a card is made of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


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
