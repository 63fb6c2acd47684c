"""dbt's exceptions as ``ProjectError``: the right code, a cleaned message, a place, and what to type next.

dbt says what is wrong in prose. Its classes tell a little (``EnvVarMissingError``), how far it came tells more (no profile
yet: the profile is at fault), and the rest is in its words. Each rule below is one such sentence of dbt 1.10 and 1.11. One
that no rule knows still becomes an error with dbt's own text, and the file where dbt names one.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from dbt_common.exceptions import DbtBaseException

from dbt_flow.errors import Place, ProjectError
from dbt_flow.project import whereabouts
from dbt_flow.project.place import DbtProject
from dbt_flow.project.warehouse_words import advice

ANSI = re.compile(r"\x1b\[[0-9;]*m")
HEADING = re.compile(r"^(?:\w+ )?(?:Runtime|Compilation|Parsing|Database|Internal|Validation|dbt \w+) Error(?: in .*)?$")
NOISE = re.compile(r"^(?:Encountered an error:|Error encountered in .*|Traceback .*|-{5,}|! )$")
QUOTED = re.compile(r"['\"`]([^'\"`\s]+)['\"`]")
TYPES = re.compile(r"is not of type '\w+'")
LINE = re.compile(r"\bline (\d+)\b")


@dataclass(frozen=True)
class Complaint:
    """An exception of dbt with what is known around it."""

    error: BaseException
    project: DbtProject
    code: str | None = None
    inside: Mapping[str, Any] | None = None
    """How far dbt came while it loaded: see :class:`.seams.invocation.Answer`; None for what comes later."""

    @property
    def text(self) -> str:
        """Its words, cleaned."""
        return cleaned(str(self.error))

    @property
    def kind(self) -> str:
        """The name of its class."""
        return type(self.error).__name__

    @property
    def stage(self) -> str:
        """``flags``, ``profile``, ``project``, or ``parse`` with all that follows: what dbt was doing."""
        inside = {"flags", "profile", "project"} if self.inside is None else self.inside
        return next((stage for stage in ("flags", "profile", "project") if stage not in inside), "parse")

    def profiles_file(self) -> Path:
        """The ``profiles.yml`` that dbt reads, there or not."""
        flags = (self.inside or {}).get("flags")
        folder = getattr(flags, "PROFILES_DIR", None) or self.project.profiles_dir or self.project.folder
        return self.project.folder / folder / "profiles.yml"


def cleaned(text: str) -> str:
    """``text`` without colours, dbt's headings, rules and empty lines, and without its indentation."""
    lines = [line.strip() for line in ANSI.sub("", text).splitlines()]
    return "\n".join(line for line in lines if line and not HEADING.match(line) and not NOISE.match(line))


def refusal(
    error: BaseException,
    project: DbtProject,
    *,
    code: str | None = None,
    inside: Mapping[str, Any] | None = None,
    said: Collection[str] = (),
) -> ProjectError:
    """What dbt's exception means for the person who must mend it. Never raises.

    :param code: what the caller was about, for what no rule knows better: ``dbt-selector``, ``warehouse``.
    :param inside: how far dbt came, when it was loading the project.
    :param said: what dbt said of it in events; the exception may not repeat it.
    """
    it = Complaint(error, project, code, inside)
    rules = (
        _not_yaml,
        _packages,
        _version,
        _env_var,
        _no_profiles,
        _profile,
        _adapter,
        _target,
        _profile_content,
        _selectors,
        _locked,
        _disk_full,
        _project,
    )
    for rule in rules:
        found = rule(it)
        if found is not None:
            return found
    return _other(it, said)


def circle(error: BaseException) -> ProjectError:
    """What dbt's exception means when it links its graph: nodes that depend on each other in a circle."""
    found = cleaned(str(error)).removeprefix("Found a cycle: ").split(" --> ")
    names = " -> ".join([*(name.partition(".")[2] for name in found), found[0].partition(".")[2]])
    return ProjectError(
        "dbt-parse", f"these depend on each other in a circle: {names}", hint="take one ref() out of the circle"
    )


def _not_yaml(it: Complaint) -> ProjectError | None:
    if "Syntax error near line" not in it.text:
        return None
    folder = it.project.folder
    named = whereabouts.file_named_in(it.text.partition("Syntax error")[0], folder)
    roots = [folder / name for name in ("dbt_project.yml", "selectors.yml", "packages.yml", "dependencies.yml")]
    for file in [named, *roots[:1], it.profiles_file(), *roots[1:]]:
        found = whereabouts.not_yaml(file) if file else None
        if file and found:
            name = file.name
            kinds = {"dbt_project.yml": "dbt-project", "profiles.yml": "dbt-profile", "selectors.yml": "dbt-selector"}
            at, why = found
            return ProjectError(
                kinds.get(name, "dbt-parse"), f"{name} is not YAML: {why}", place=at, hint="mend the line shown"
            )
    return None


def _packages(it: Complaint) -> ProjectError | None:
    if it.kind != "UninstalledPackagesFoundError" and "dbt deps" not in it.text:
        return None
    files = [it.project.folder / name for name in ("packages.yml", "dependencies.yml")]
    file = next((file for file in files if file.is_file()), files[0])
    return ProjectError(
        "dbt-packages",
        it.text.replace(' Run "dbt deps" to install package dependencies.', ""),
        place=whereabouts.place(file),
        hint=f"dbt deps --project-dir {it.project.folder}",
    )


def _version(it: Complaint) -> ProjectError | None:
    wanted = re.search(r"Required version of dbt for '([^']*)': \[(.*?)\]", it.text)
    if not wanted:
        return None
    package, ranges = wanted[1], wanted[2].replace("'", "").replace(" ", "")
    have = re.search(r"Installed version of dbt: =?(\S+)", it.text)
    message = f"the dbt project {package} wants dbt {ranges}; installed is {have[1] if have else 'another'}"
    at = whereabouts.line_with(it.project.folder / "dbt_project.yml", "require-dbt-version")
    return ProjectError("dbt-project", message, place=at, hint=f"pip install 'dbt-core{ranges}', or mend require-dbt-version")


def _env_var(it: Complaint) -> ProjectError | None:
    wanted = re.search(r"Env var required but not provided: '([^']+)'", it.text)
    if not wanted:
        return None
    name = wanted[1]
    root = it.project.folder / "dbt_project.yml"
    file = {"profile": it.profiles_file(), "flags": root, "project": root}.get(it.stage)
    at = whereabouts.line_with(file, name) if file else whereabouts.only_file_with(it.project.folder, name)
    code = {"profile": "dbt-profile", "flags": "dbt-project", "project": "dbt-project"}.get(it.stage, "dbt-parse")
    return ProjectError(code, f"the environment variable {name} is not set", place=at, hint=f"export {name}=...")


def _no_profiles(it: Complaint) -> ProjectError | None:
    """dbt asks for ``~/.dbt`` before it says which profile it misses; a machine that never ran dbt has none."""
    if it.kind != "DbtUsageException" or not re.fullmatch(r"Path '.*' does not exist\.?", it.text):
        return None
    root = it.project.folder / "dbt_project.yml"
    message = f"there is no profiles.yml in {it.project.folder} or in ~/.dbt"
    at = whereabouts.line_with(root, "profile:")
    return ProjectError(
        "dbt-profile", message, place=at, hint="write profiles.yml there, or name its folder: --profiles-dir DIR"
    )


def _profile(it: Complaint) -> ProjectError | None:
    wanted = re.search(r"Could not find profile named '([^']*)'", it.text)
    unnamed = "no profile was specified" in it.text
    if not wanted and not unnamed:
        return None
    root, file = it.project.folder / "dbt_project.yml", it.profiles_file()
    if unnamed or not wanted or wanted[1] in ("None", ""):
        return ProjectError(
            "dbt-profile", "dbt_project.yml names no profile", place=whereabouts.place(root), hint="add: profile: NAME"
        )
    name, there = wanted[1], ", ".join(_profiles(file))
    at = whereabouts.line_with(root, "profile:", name)
    if not file.is_file():
        searched = file.parent if it.project.profiles_dir else f"{it.project.folder} and ~/.dbt"
        message = f"there is no profiles.yml with the profile {name}; looked in {searched}"
        return ProjectError(
            "dbt-profile", message, place=at, hint="write profiles.yml, or give its folder: --profiles-dir FOLDER"
        )
    message = f"the profile {name} is not in {file}" + (f"; it has {there}" if there else ", which is empty")
    return ProjectError("dbt-profile", message, place=at, hint=f"add {name}: to that file, or --profiles-dir FOLDER")


def _adapter(it: Complaint) -> ProjectError | None:
    wanted = re.search(r"Could not find adapter type (\S+?)!", it.text)
    if not wanted:
        return None
    at = whereabouts.line_with(it.profiles_file(), "type:", wanted[1])
    message = f"the adapter for profiles of type {wanted[1]} is not installed"
    return ProjectError("dbt-adapter", message, place=at, hint=f"pip install dbt-{wanted[1]}")


def _target(it: Complaint) -> ProjectError | None:
    wanted = re.search(r"The profile '([^']*)' does not have a target named '([^']*)'", it.text)
    if not wanted:
        return None
    profile, target = wanted[1], wanted[2]
    names = re.findall(r"^- (\S+)$", it.text, re.MULTILINE)
    at = whereabouts.line_with(it.profiles_file(), f"{profile}:")
    if it.project.target is None:
        at = whereabouts.line_with(it.profiles_file(), "target:", target)
    message = f"the profile {profile} has no target {target}; it has {', '.join(names) or 'none'}"
    return ProjectError(
        "dbt-profile",
        message,
        place=at,
        hint=f"--target {names[0]}, or target: {names[0]} in the DAG file" if names else "add it under outputs:",
    )


def _profile_content(it: Complaint) -> ProjectError | None:
    if not isinstance(it.error, DbtBaseException) or it.stage != "profile" or "dbt_project.yml" in it.text:
        return None
    if it.kind not in ("DbtProfileError", "ProfileConfigError", "DbtValidationError"):
        return None
    file = it.profiles_file()
    words = re.search(r"target \"([^\"]+)\" invalid", it.text)
    text = it.text.replace("dbt encountered an error while trying to read your profiles.yml file.\n", "")
    text = re.sub(r"invalid: .* is not of type", "invalid: a value is not of type", text)  # the value may be a password
    text = re.sub(r"(?s)(Syntax error near line \d+).*", r"\1", text)  # dbt shows the lines around it
    at = whereabouts.line_with(file, f"{words[1]}:") if words else whereabouts.place(file)
    return ProjectError("dbt-profile", text, place=at, hint=f"mend {file.name}; dbt debug says what it reads from it")


def _selectors(it: Complaint) -> ProjectError | None:
    file = it.project.folder / "selectors.yml"
    if it.kind == "DbtSelectorsError":
        return ProjectError("dbt-selector", it.text, place=whereabouts.place(file), hint="mend selectors.yml")
    if it.code != "dbt-selector":
        return None
    hint = "see dbt's node selection: tag:x, path:models/x, +model+, source:x+, config.meta.x:y"
    if "no comparison manifest" in it.text:
        hint = "state: needs the manifest of an earlier run; give its folder"
    elif "Could not find selector" in it.text:
        hint = f"write the selector into {file.name} in the dbt project's folder, or name one that is there"
    return ProjectError("dbt-selector", it.text or it.kind, hint=hint)


def _locked(it: Complaint) -> ProjectError | None:
    if "Could not set lock on file" not in it.text:
        return None
    holder = re.search(r"held in .*?\(PID (\d+)\)", it.text)
    who = f"the process {holder[1]}" if holder else "another process"
    file = re.search(r'lock on file "([^"]+)"', it.text)
    message = f"{who} holds the DuckDB file{' ' + file[1] if file else ''}; one process may have it open"
    return ProjectError("database-locked", message, hint="end that process, or wait for it, and run again")


def _disk_full(it: Complaint) -> ProjectError | None:
    """dbt itself stumbled over it while it wrote into the target path."""
    if not (isinstance(it.error, OSError) and it.error.errno in (errno.ENOSPC, errno.EDQUOT)):
        return None
    where = f" to write {it.error.filename}" if it.error.filename else ""
    return ProjectError("disk-full", f"no space left{where}", hint="free some space and run it again")


def _project(it: Complaint) -> ProjectError | None:
    if it.stage == "parse" or not isinstance(it.error, DbtBaseException):
        return None
    file = it.project.folder / "dbt_project.yml"
    key = re.search(r"at path \['(\w+)'", it.text)
    at = whereabouts.line_with(file, f"{key[1]}:") if key else whereabouts.place(file)
    return ProjectError("dbt-project", it.text, place=at, hint="mend dbt_project.yml")


def _other(it: Complaint, said: Collection[str]) -> ProjectError:
    text = "\n".join([it.text or it.kind, *(cleaned(line) for line in said)])
    if not isinstance(it.error, DbtBaseException) and it.kind != "ValidationError":
        text = f"dbt broke down: {it.kind}: {text}"
    if it.code == "warehouse":
        known = advice(text)
        tries = f"dbt debug --project-dir {it.project.folder}  # tries the connection"
        return ProjectError("warehouse", f"{known.what}: {text}" if known else text, hint=known.hint if known else tries)
    at = _place_of(it)
    again = f"dbt parse --project-dir {it.project.folder}"
    hint = f"mend it there, and try: {again}" if at else f"dbt's own words: {again}"
    return ProjectError(it.code or ("dbt-parse" if it.stage == "parse" else "dbt-project"), text, place=at, hint=hint)


def _place_of(it: Complaint) -> Place | None:
    """Where, from the node that dbt attached, the file that it names, or the one file with all the words that it quotes."""
    folder, raw = it.project.folder, str(it.error)
    node = getattr(it.error, "node", None)
    named = getattr(node, "original_file_path", None)
    file = folder / named if named and (folder / named).is_file() else whereabouts.file_named_in(raw, folder)
    tag = re.search(r"without finding a close tag for (\w+)", raw)
    if tag and file is None:
        return whereabouts.never_closed(folder, tag[1])
    words = [word for word in QUOTED.findall(TYPES.sub("", it.text)) if word.count(".") < 2]
    words = [word for word in words if not word.endswith((".sql", ".yml", ".py"))]
    if file is None:
        return whereabouts.only_file_with(folder, *words)
    line = LINE.search(raw)
    if line:
        return whereabouts.place(file, int(line[1]))
    return whereabouts.line_of_word(file, [part for word in reversed(words) for part in (word, word.rpartition(".")[2])])


def _profiles(file: Path) -> list[str]:
    try:
        found = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError):
        return []
    return [str(name) for name in found if name != "config"] if isinstance(found, dict) else []
