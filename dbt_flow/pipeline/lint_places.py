"""Where what the rules found stands: dbt's manifest names files, and the line is looked up in them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from dbt_flow.errors import Place
from dbt_flow.plan.lint.found import Finding, Found, Rule, Spot
from dbt_flow.plan.lint.landscape import Landscape
from dbt_flow.plan.lint.rulebook import ABOUT_SILENCES
from dbt_flow.records import Member
from dbt_flow.settings import Settings

YAML = (".yml", ".yaml")
NAMED = re.compile(r"\bname:\s*[\"']?([^\"',}#\s]+)")


@dataclass
class Places:
    """Reads each file once, and only those in which something was found."""

    settings: Settings
    land: Landscape
    _lines: dict[Path, list[str]] = field(default_factory=dict)
    _named: dict[Path, dict[str, int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.projects = {project.folder: project for project in self.land.projects}

    def findings(self, found: Iterable[tuple[Rule, Found]]) -> tuple[Finding, ...]:
        """Each with its place, in the order of places."""
        made = []
        for rule, one in found:
            file, line = self.of(one.place, rule.code, one)
            made.append(Finding(rule.code, rule.severity, file, line, one.message, rule.why, one.fix))
        return tuple(sorted(made, key=lambda item: (item.file or "", item.line or 0, item.code, item.message)))

    def of(self, place: Place | Spot, code: str, found: Found) -> tuple[str | None, int | None]:
        """File and line."""
        if isinstance(place, Place):
            return place.file, place.line
        project = self.projects[place.folder]
        folder = self.settings.root / place.folder
        member = project.members.get(place.id)
        if place.path:
            path = folder / place.path
            return self.settings.shown(path), self.line(path, place.id)
        if member is None:
            return None, None
        if member.package != project.package:
            folder = folder / "dbt_packages" / member.package
        if code in ABOUT_SILENCES:
            return self.silence(folder, member, found.message.partition(" ")[0])
        path = folder / member.path
        if path.suffix in YAML:
            tested = project.members.get(member.tests or "")
            named = (tested or member).name.rpartition(".")[2]
            return self.settings.shown(path), self.line(path, named)
        return self.settings.shown(path), None if path.suffix == ".csv" else 1

    def silence(self, folder: Path, member: Member, code: str) -> tuple[str, int | None]:
        """Where a member says that a finding is meant: in its own file, its YAML, or ``dbt_project.yml``."""
        for name in (member.path, member.patch, "dbt_project.yml"):
            lines = self.lines(folder / name) if name else []
            for number, line in enumerate(lines, 1):
                if code in line:
                    return self.settings.shown(folder / str(name)), number
        return self.settings.shown(folder / member.path), 1

    def line(self, path: Path, name: str) -> int | None:
        """The first line that gives something that name."""
        if path not in self._named:
            known = self._named[path] = {}
            for number, line in enumerate(self.lines(path), 1):
                for said in NAMED.findall(line):
                    known.setdefault(said, number)
        return self._named[path].get(name)

    def lines(self, path: Path) -> list[str]:
        """Of a file; none of one that cannot be read."""
        if path not in self._lines:
            try:
                self._lines[path] = path.read_text(encoding="utf-8", errors="replace").splitlines()
            except OSError:
                self._lines[path] = []
        return self._lines[path]
