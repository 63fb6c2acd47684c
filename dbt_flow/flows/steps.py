"""The steps of a DAG with ``isolate:``, as methods of its flow: Metaflow reads a flow's graph from the source of its methods.

So the source is written here, indented as in a class, and registered where Python looks for source, under a file name that no
disk has.
"""

from __future__ import annotations

import linecache
import textwrap
from collections.abc import Callable, Iterable
from typing import Any

from dbt_flow.plan.waves import PASS, FlowStep


def source(steps: Iterable[FlowStep]) -> str:
    """The methods as Python source, in a class."""
    return "class Steps:\n" + textwrap.indent("\n".join(_method(step) for step in steps), "    ")


def make_methods(steps: Iterable[FlowStep], dag: str, module: str) -> dict[str, Callable[..., None]]:
    """The methods by name, as if they stood in ``module``."""
    text = source(steps)
    file = f"<steps of {dag}>"
    linecache.cache[file] = (len(text), None, text.splitlines(keepends=True), file)  # no time of change: it is never read again
    names: dict[str, Any] = {"__name__": module}
    exec(compile(text, file, "exec"), names)  # noqa: S102 - the source above, made of identifiers alone
    return {name: value for name, value in vars(names["Steps"]).items() if callable(value)}


def _method(step: FlowStep) -> str:
    lines = [f"def {step.name}(self{', inputs' if step.joins else ''}):", f'    """{_sentence(step)}"""']
    if step.kind != PASS:
        lines.append(f"    self.build({step.name!r})")
    if step.next:
        lines.append(f"    self.next({', '.join(f'self.{name}' for name in step.next)})")
    return "\n".join(lines) + "\n"


def _sentence(step: FlowStep) -> str:
    """What ``show`` and Metaflow's UI say of it."""
    if step.kind == PASS:
        return "Wait for all of them." if step.joins else "Go on side by side."
    if not step.next:
        return "Build what is left, and tell what became of all of it."
    return "A model with its tests." if step.step else "Build what needs no step of its own."
