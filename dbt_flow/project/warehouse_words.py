"""What a warehouse's refusal asks of whom, and what to do: logins, grants, a warehouse that sleeps, a connection that broke.

Words are those of PostgreSQL and of Snowflake (with its error numbers), as dbt passes them on.
"""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Advice:
    """What to do, in a sentence that begins a hint."""

    what: str
    """What happened, in words."""
    hint: str


_ADVICE: tuple[tuple[str, Advice], ...] = (
    # (what the message has, what it means); the first that fits
    (
        r"390114|\btoken has expired|oauth access token expired|\b390318\b|password has expired|390106",
        Advice(
            "the login has expired", "give a new token or password to the variable that the profile reads, and run it again"
        ),
    ),
    (
        r"jwt token is invalid|\b390144\b",
        Advice("Snowflake does not know the key pair", "alter user NAME set rsa_public_key='...', with this key's public half"),
    ),
    (
        r"is not allowed to access snowflake|\b39042[02]\b",
        Advice(
            "a network policy of the account keeps this machine out", "ask its administrator to let this machine's address in"
        ),
    ),
    (
        r"multi-factor authentication is required|\b394508\b|failed to authenticate: mfa",
        Advice("the login wants a second factor", "use a key pair for runs without a person: private_key_path in the profile"),
    ),
    (
        r"(oauth|programmatic) access token (is )?invalid|invalid (oauth )?access token|\b390303\b|\b394400\b",
        Advice("Snowflake does not know the token", "give one of this user's to the variable that the profile reads as token"),
    ),
    (
        r"\b290404\b|404 not found: post \S+/session/",
        Advice(
            "there is no such account",
            "mend account in the profile: ORGANIZATION-ACCOUNT, as in Snowsight under Account details",
        ),
    ),
    (
        r"incorrect username or password|password authentication failed|authentication failed|\b390100\b|no password supplied"
        r"|role \S+ does not exist|user .* locked|\b390102\b"
        r"|user access disabled|\b390101\b",
        Advice("the login is refused", "check user and password in the profile, and the variables that it reads: dbt debug"),
    ),
    (
        r"pg_hba\.conf",
        Advice("the server takes no connection from here", "ask its administrator for a line in pg_hba.conf, or set sslmode"),
    ),
    (
        r"role .* (is not granted|not exist or not authorized)|\b390189\b|requested role",
        Advice("the profile's role is not this user's", "name another role in the profile, or: grant role NAME to user NAME"),
    ),
    (
        r"no active warehouse|\b000606\b",
        Advice(
            "no warehouse runs the query",
            "name one in the profile, and: grant usage on warehouse NAME to role NAME; if it is suspended and does not resume"
            " by itself: alter warehouse NAME resume",
        ),
    ),
    (
        r"warehouse .*(suspended|cannot be resumed)|\b0?90073\b|\b090109\b|resource monitor|exceeded its quota",
        Advice("the warehouse is suspended", "alter warehouse NAME resume; if a resource monitor stopped it, raise its quota"),
    ),
    (
        r"session does not have a current (database|schema)|\b090105\b|database '\S+' does not exist or not authorized",
        Advice(
            "the database is not there, or the role cannot see it",
            "mend database in the profile, or: grant usage on database NAME to role NAME",
        ),
    ),
    (
        r"reached its statement or warehouse timeout|\b000630\b",
        Advice(
            "the query took longer than Snowflake lets it", "raise statement_timeout_in_seconds, or give it a larger warehouse"
        ),
    ),
    (
        r"permission denied for (schema|database)|schema .*does not exist or not authorized|cannot create schema"
        r"|insufficient privileges to operate on schema",
        Advice("the role cannot see or use a schema", "grant usage, create on schema NAME to the role that dbt uses"),
    ),
    (
        r"permission denied (for|to)|insufficient privileges|\b003001\b|must be owner",
        Advice("a grant is missing", "grant what the message names to the role that dbt uses; nothing is wrong with the SQL"),
    ),
    (
        r"does not exist or not authorized|does not exist, or operation cannot be performed|\b00200[23]\b|\b002043\b",
        Advice(
            "it is not there, or the role cannot see it", "build it, or: grant usage on its schema and select on it to the role"
        ),
    ),
    (
        r"database \S+ does not exist",
        Advice("there is no such database", "mend database (dbname) in the profile, or have it created"),
    ),
    (
        r"could not translate host name|name or service not known|nodename nor servname",
        Advice("there is no such host", "mend host or account in the profile"),
    ),
    (
        r"connection refused|could not connect|failed to connect|timeout expired|\b250001\b|\b250003\b",
        Advice("the warehouse cannot be reached", "check that it is up and that this machine may reach it; then run it again"),
    ),
    (
        r"server closed the connection|terminating connection|connection (already )?closed|ssl connection has been closed",
        Advice("the connection was cut", "run it again: what was being built was rolled back; retries: 2 in the DAG does so"),
    ),
    (
        r"too many (clients|connections)|remaining connection slots",
        Advice("the server has no connection left", "lower threads in the DAG file or the profile, or raise max_connections"),
    ),
)
_PATTERNS = tuple((re.compile(pattern, re.IGNORECASE | re.DOTALL), advice) for pattern, advice in _ADVICE)


def advice(message: str) -> Advice | None:
    """What to do about a warehouse's refusal; None where it says nothing that we know."""
    start = message[:4000]
    return next((found for pattern, found in _PATTERNS if pattern.search(start)), None)
