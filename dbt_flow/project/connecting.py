"""``connected()``: the connection that dbt would open for a project's target, for who reads without dbt."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from dbt.adapters.contracts.connection import Connection, ConnectionState
from dbt.adapters.factory import get_adapter_class_by_name
from dbt.config.runtime import load_profile
from dbt.flags import get_flags
from dbt_common.context import set_invocation_context

from dbt_flow import redact
from dbt_flow.errors import DbtFlowError
from dbt_flow.project import credentials
from dbt_flow.project.parsing import dbt_flags
from dbt_flow.project.place import DbtProject, working_in
from dbt_flow.project.refusals import refusal
from dbt_flow.project.seams import invocation


@contextmanager
def connected(project: DbtProject, name: str) -> Iterator[Any]:
    """Open it, and close it at the end: a connection of the adapter's driver (psycopg2's, Snowflake's), with all its settings.

    :param name: who asks, for the warehouse's own lists of who is there.
    :raises ProjectError: the profile cannot be used, or the warehouse does not let us in.
    """
    try:
        with invocation.overhearing():
            manager, connection = _opened(project, name)
        handle = connection.handle
    except DbtFlowError:  # the form of the login is wrong
        raise
    except Exception as error:
        raise refusal(error, project, code="warehouse") from error
    try:
        yield handle
    finally:
        with suppress(Exception):  # what is cut already cannot be closed
            manager.close(connection)


def _opened(project: DbtProject, name: str) -> tuple[Any, Any]:
    flags = dbt_flags(project, project.folder / "target", project.profiles_dir, project.target)
    set_invocation_context(os.environ)  # what env_var() reads; only dbt's own command line sets it
    with working_in(project.folder), invocation.flags_of(["build", *flags]):
        profile = load_profile(str(project.folder), dict(project.vars), target_override=project.target)
        found = profile.credentials
        redact.learn_fields(vars(found))
        config = SimpleNamespace(credentials=found, profile_name=profile.profile_name, target_name=profile.target_name)
        credentials.check(config, Path(get_flags().PROFILES_DIR).absolute())
        for label in ("application_name", "query_tag"):
            if getattr(found, label, "-") in (None, "", "dbt"):
                setattr(found, label, name[:60])
        manager = get_adapter_class_by_name(found.type).ConnectionManager
        connection = Connection(type=found.type, name=name, credentials=found, state=ConnectionState.INIT)
        return manager, manager.open(connection)
