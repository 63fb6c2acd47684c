"""What a person may have meant by a selection that takes nothing. For hints alone: what a selection takes, dbt decides."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath

from dbt_flow.project.parsing import Parsed
from dbt_flow.project.seams.contents import everything
from dbt_flow.project.typed_names import names_of
from dbt_flow.yamlfile import did_you_mean

_KINDS: Mapping[str, str] = {"tag": "tags", "group": "groups", "source": "sources", "fqn": "nodes", "": "nodes"}
_WORD = re.compile(r"(?P<before>@|\d*\+)?(?:(?P<method>\w+):)?(?P<value>[^+\s]+)(?P<after>\+\d*)?\Z")


def nearest(parsed: Parsed, words: Iterable[str]) -> tuple[str, ...]:
    """For each part of ``words`` that is close to a name of the project, that part with the name in it."""
    names = names_of(parsed)
    found = []
    for part in re.split(r"[\s,]+", " ".join(words)):
        match = _WORD.match(part)
        if match is None:
            continue
        method, value = match["method"] or "", match["value"]
        known = _folders(parsed) if method == "path" else names.get(_KINDS.get(method, ""), ())
        if value in known:
            continue
        near = did_you_mean(value, known)
        if near:
            prefix = f"{method}:" if method else ""
            found.append(f"{match['before'] or ''}{prefix}{near}{match['after'] or ''}")
    return tuple(dict.fromkeys(found))


def _folders(parsed: Parsed) -> list[str]:
    own = (node for node in everything(parsed.manifest) if node.package_name == parsed.name)
    above = {folder for node in own for folder in PurePosixPath(str(node.original_file_path)).parents}
    return sorted(str(folder) for folder in above if str(folder) != ".")
