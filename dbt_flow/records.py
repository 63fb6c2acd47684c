"""The nouns that cross floors: what dbt says of a node, what became of it and of a run. Frozen, and plain JSON outside.

Times are RFC 3339 in UTC with a ``Z`` (:func:`utc_text`), durations are seconds as floats.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime, timezone
from typing import Any, TypeVar

from dbt_flow.errors import StateError

RECORD_VERSION = 1
"""The version of every document made from these records; a reader refuses a newer one."""

# Node statuses: dbt's own words (dbt.artifacts.schemas.results.NodeStatus, 1.10 and 1.11) and three of ours.
GOOD = frozenset({"success", "pass", "warn", "no-op", "reused"})
"""A planned node that ends in one of these is good. Every other word, one that we do not know included, fails the run."""
BLOCKING = frozenset({"error", "fail", "runtime error", "partial success", "lost", "cancelled"})
"""Statuses that can be the cause of another node's ``skipped``."""
CANCELLED, LOST, REUSED, SKIPPED = "cancelled", "lost", "reused", "skipped"

# Run statuses.
SUCCESS, FAILED, RUN_CANCELLED, RUNNING = "success", "failed", "cancelled", "running"

TEST_TYPES = frozenset({"test", "unit_test"})
BUILT = frozenset({"model", "seed", "snapshot"})
"""Types that make a table or a view."""

R = TypeVar("R", bound="Record")


def utc_text(moment: datetime | float | None = None) -> str:
    """``2026-11-21T06:00:00.123Z`` for a moment (now by default; a float is seconds since the epoch)."""
    if moment is None:
        moment = datetime.now(timezone.utc)
    elif isinstance(moment, (int, float)):
        moment = datetime.fromtimestamp(moment, timezone.utc)
    return moment.astimezone(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def utc_moment(text: str) -> datetime:
    """The inverse of :func:`utc_text`; also reads dbt's own times, which have no zone and are UTC.

    :raises ValueError: when ``text`` is no time.
    """
    moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
    return moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)


def flow_name(dag: str) -> str:
    """The Metaflow flow of a DAG, in CamelCase: ``carrier_risk`` is ``CarrierRisk``."""
    return "".join(part[:1].upper() + part[1:] for part in dag.split("_"))


class Record:
    """A frozen dataclass that reads and writes plain JSON values. Tuples become lists and back; unknown keys are dropped."""

    def to_dict(self) -> dict[str, Any]:
        """The fields as plain JSON values."""
        return {f.name: _plain(getattr(self, f.name)) for f in fields(self)}  # type: ignore[arg-type]

    @classmethod
    def from_dict(cls: type[R], data: Mapping[str, Any]) -> R:
        """:raises StateError: when ``data`` comes from a newer version."""
        check_version(data, cls.__name__)
        known = {f.name for f in fields(cls)}  # type: ignore[arg-type]
        return cls(**{k: _frozen(v) for k, v in data.items() if k in known})


def check_version(document: Mapping[str, Any], what: str) -> None:
    """:raises StateError: when ``document`` was written by a newer dbt-flow; it is never rewritten."""
    version = document.get("version", RECORD_VERSION)
    if not isinstance(version, int) or version > RECORD_VERSION:
        raise StateError(
            "state-version",
            f"{what} has version {version}; this dbt-flow knows versions up to {RECORD_VERSION}",
            hint="install the dbt-flow that wrote it, or a newer one",
        )


def _plain(value: Any) -> Any:
    if isinstance(value, Record):
        return value.to_dict()
    if isinstance(value, (tuple, list, frozenset, set)):
        return [_plain(item) for item in value]
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return value


def _frozen(value: Any) -> Any:
    return tuple(_frozen(item) for item in value) if isinstance(value, list) else value


@dataclass(frozen=True)
class Node(Record):
    """What dbt's manifest says of one node: a model, seed, snapshot, test, unit test; also a source or an exposure."""

    id: str
    """dbt's ``unique_id``."""
    type: str
    """dbt's resource type: model, seed, snapshot, test, unit_test, function, saved_query, exposure, source."""
    name: str
    package: str
    path: str
    """The file that defines it, relative to the dbt project."""
    parents: tuple[str, ...] = ()
    """The ids it depends on, as in the manifest: sources and ephemeral models included."""
    materialized: str | None = None
    relation: str | None = None
    """The quoted relation it builds or stands for; None for tests, ephemerals and exposures."""
    description: str = ""
    tags: tuple[str, ...] = ()
    group: str | None = None
    owner: str | None = None
    """``meta.owner``, else the owner of its group."""
    severity: str | None = None
    """Of a data test: ``error`` or ``warn``."""
    tests: str | None = None
    """Of a test: the id of the node it belongs to (dbt's attached node, else its last parent)."""
    column: str | None = None
    warn_if: str | None = None
    """Of a data test: dbt's condition on the number of failing rows, ``!= 0``."""
    error_if: str | None = None
    checksum: str | None = None
    """A short digest of its code: its file or arguments, its config, the macros it calls. Other digest, other code."""
    owner_by: str | None = None
    """Which rule gave ``owner``: ``meta``, ``group``, or ``exposure``."""
    inlined: bool = False
    """An ephemeral model: its SQL stands inside others; it is shown and not counted."""

    @property
    def is_test(self) -> bool:
        """A data test or a unit test."""
        return self.type in TEST_TYPES


@dataclass(frozen=True)
class Member(Record):
    """One member of dbt's graph, as a look over a whole project needs it: without its code, for there may be thousands."""

    id: str
    type: str
    name: str
    package: str
    path: str
    """The file that defines it, relative to the dbt project."""
    patch: str | None = None
    """The YAML file that describes it, relative to the dbt project, where that is another."""
    parents: tuple[str, ...] = ()
    relation: str | None = None
    """As :attr:`Node.relation`."""
    tests: str | None = None
    """As :attr:`Node.tests`."""
    inlined: bool = False
    group: str | None = None
    owner: str | None = None
    owner_by: str | None = None
    claims: tuple[str, ...] = ()
    """``meta.dag``: the DAGs to which it says that it belongs."""
    ignored: Mapping[str, Any] = field(default_factory=dict)
    """``meta.lint.ignore``: the findings that it is not to have, each with a reason."""
    freshness: bool = False
    """Of a source: whether it says how fresh it must be."""
    dated: bool = False
    """Of a source: whether dbt can find out when it was loaded."""


@dataclass(frozen=True)
class Target(Record):
    """Where dbt builds: one output of the profile, without its secrets."""

    name: str
    adapter: str
    """dbt's adapter type: duckdb, snowflake, postgres."""
    schema: str
    database: str | None = None
    threads: int = 1
    path: str | None = None
    """The absolute path of the DuckDB file; None for ``:memory:``, for a remote one and for every other adapter."""


@dataclass(frozen=True)
class Facts(Record):
    """What dbt's manifest says of one selection: all that a plan is made from."""

    nodes: tuple[Node, ...]
    """What ``dbt build`` of the selection would execute, by id."""
    inlined: tuple[Node, ...]
    """Ephemeral models of the selection."""
    surroundings: tuple[Node, ...]
    """Sources and unselected parents that the selection reads, and unselected exposures on top of it."""
    parents: Mapping[str, tuple[str, ...]]
    """dbt's whole graph, selected or not: each id with the ids that it depends on. Gates and collapsed paths need all of it."""


@dataclass(frozen=True)
class Stamp(Record):
    """What tells one state of a relation from another."""

    kind: str
    """``table``, ``view`` or what else it is on the target."""
    shape: str
    """A digest of its columns: names, types, order."""
    data: str | None = None
    """What changes whenever its rows do; None where nothing tells."""
    definition: str | None = None
    """Of a view: a digest of its SQL."""
    by: str = ""
    """What ``data`` is made from: ``contents``, ``metadata``, ``loaded_at``."""


@dataclass(frozen=True)
class Subject(Record):
    """What dbt says of a node that decides whether its last result still holds."""

    id: str
    name: str
    kind: str
    """``table``, ``view``, ``ephemeral``, ``incremental``, ``snapshot``, ``seed``, ``test``, ``unit_test``, ``source``, ..."""
    key: Mapping[str, str] = field(default_factory=dict)
    """Digests by part: ``code``, ``config``, ``macros``, ``vars``, ``upstream``, ``target``, ``project``, ``versions``."""
    never: str = ""
    """Why its results never hold, if so."""
    parents: tuple[str, ...] = ()
    relation: str | None = None
    itself: bool = False
    """Whether it may read what it builds."""


@dataclass(frozen=True)
class NodeResult(Record):
    """What became of one planned node in one run."""

    id: str
    status: str
    """dbt's own word, or ``reused``, ``cancelled``, ``lost``."""
    message: str = ""
    started: str | None = None
    finished: str | None = None
    seconds: float = 0.0
    thread: str | None = None
    failures: int | None = None
    """Of a test: the number of failing rows."""
    rows: int | None = None
    """Rows written, where the adapter says; on DuckDB the rows that the table holds after the build."""
    reason: str = ""
    """Why it has this status, in a sentence, where that is not plain."""
    blocked_by: tuple[str, ...] = ()
    """The ids of the nodes that are the cause of a ``skipped``."""
    attempt: int = 0
    step: str = ""
    """The Metaflow step that built it, in a run of several."""
    compiled: str | None = None
    """The compiled SQL, kept for nodes that are not good."""
    query: Mapping[str, Any] | None = None
    """On Snowflake, its last query: ``id``, ``warehouse``, ``tag``, ``link``."""
    sample: Mapping[str, Any] | None = None
    """Of a failing test, where ``sample_rows`` asks for it: ``columns``, ``rows``, and ``masked``, the columns not shown."""

    @property
    def good(self) -> bool:
        """Whether it ended as it should; an unknown status is not good."""
        return self.status in GOOD


@dataclass(frozen=True)
class RunResult(Record):
    """What became of a run: the one value that the card, the terminal and everything else that tells is made from."""

    dag: str
    flow: str
    run: str
    """The Metaflow pathspec, ``CarrierRisk/123``."""
    status: str
    """``success``, ``failed``, ``cancelled``; ``running`` only on a live card."""
    reason: str
    """What happened, in one sentence."""
    target: str
    started: str
    finished: str | None = None
    seconds: float = 0.0
    owner: str = ""
    trigger: str = "by hand"
    """What started it, in words."""
    attempt: int = 0
    follows: str | None = None
    """The run that this one retries or resumes."""
    nodes: tuple[NodeResult, ...] = ()
    """One for each planned node, in the plan's order."""
    error: Mapping[str, Any] | None = None
    """The refusal (as :meth:`dbt_flow.errors.DbtFlowError.to_dict`) when the run could not be planned or was stopped."""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    version: int = RECORD_VERSION

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> RunResult:
        """The inverse of :meth:`to_dict`."""
        nodes = tuple(NodeResult.from_dict(node) for node in data.get("nodes", ()))
        result = super().from_dict({**data, "nodes": ()})
        object.__setattr__(result, "nodes", nodes)
        return result

    @property
    def counts(self) -> dict[str, int]:
        """Node statuses with how often each occurs, most frequent first."""
        return dict(Counter(node.status for node in self.nodes).most_common())


def only_good(results: Iterable[NodeResult]) -> bool:
    """True when every result is good: the never-green rule for a set of planned nodes."""
    return all(result.good for result in results)
