"""What a template says in Jinja: the names it uses, the vars it reads, and whether it asks for what changes from run to run.

Nothing is rendered: dbt's own list of the macros that a node calls misses those in branches that parsing does not enter
(``{% if is_incremental() %}``). A name counts wherever it stands in the template's Jinja, texts included.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from dbt_common.clients.jinja import get_environment
from jinja2 import TemplateSyntaxError

VOLATILE = frozenset(
    {"env_var", "invocation_id", "run_started_at", "modules", "run_query", "statement", "load_result", "store_result"}
    | {"store_raw_result", "load_agate_table", "graph", "flags", "invocation_args_dict", "dbt_metadata_envs"}
    | {"selected_resources", "thread_id", "submit_python_job", "context", "adapter", "dispatch"}
)
"""Names by which a template asks for the time, the environment, the run, the warehouse or a macro of a name made up."""

HARMLESS = frozenset({"quote", "quote_as_configured", "quote_seed_column", "type"})
"""What ``adapter`` may be asked: answers that follow from the target alone."""


@dataclass(frozen=True)
class Words:
    """What stands in a template's Jinja."""

    names: frozenset[str] = frozenset()
    """Every name, also those in texts."""
    vars: frozenset[str] = frozenset()
    """The names in ``var('name')``."""
    any_var: bool = False
    """Whether a var may be read whose name does not stand there."""
    volatile: str = ""
    """The first of :data:`VOLATILE` that it uses."""


@lru_cache(maxsize=20_000)
def words_of(template: str) -> Words:
    """Read a template; one that is no Jinja is all in doubt."""
    if "{" not in template:
        return Words()
    try:
        tokens = [
            (kind, text)
            for _, kind, text in get_environment().lex(template)
            if kind in ("name", "operator", "string", "integer")
        ]
    except TemplateSyntaxError:
        return Words(frozenset(re.findall(r"\w+", template)), any_var=True, volatile="what is no Jinja")
    names: set[str] = set()
    read: set[str] = set()
    any_var, volatile = False, ""
    for at, (kind, text) in enumerate(tokens):
        after = [token[1] for token in tokens[at + 1 : at + 6]] + [""] * 5
        if kind == "string":
            names.update(re.findall(r"\w+", text))
            any_var = any_var or text[1:-1] == "var"
        elif kind == "name":
            names.add(text)
            if text == "var":
                name = _literal(after[2:] if after[:2] == [".", "has_var"] else after)
                any_var = any_var or name is None
                read |= {name} if name is not None else set()
            elif text in VOLATILE and not volatile and not _harmless(text, after, tokens[at - 1][1] if at else ""):
                volatile = text
    return Words(frozenset(names), frozenset(read), any_var, volatile)


def _literal(after: list[str]) -> str | None:
    """The name in ``('name')`` or ``('name', default)``."""
    opened, name, closed = after[:3]
    return name[1:-1] if opened == "(" and name[:1] in ("'", '"') and closed in (")", ",") else None


def _harmless(word: str, after: list[str], before: str) -> bool:
    if word == "adapter":
        return after[0] == "." and (after[1] in HARMLESS or after[1] == "dispatch")
    if word == "modules":
        return after[:2] in ([".", "re"], [".", "itertools"])
    if word == "dispatch":  # judged where `adapter` stands before it, else a name like any other
        named = after[1:] if after[1] != "macro_name" else after[3:]
        return before != "." or (after[0] == "(" and named[0][:1] in ("'", '"') and named[1] in (")", ","))
    return before == "."  # an attribute of something else, as `config.flags`
