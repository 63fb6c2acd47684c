"""Schedulers: what is wanted of them, what they have, and the way from one to the other.

In reading order: ``nouns``, ``wanted`` (what files and dbt say), ``schedulers/`` (what is there, and how it gets
there), ``planning`` (the difference, as a value), ``contract`` (inputs that callers rely on), ``ledger`` (what was applied, and
who is at it), ``applying`` and ``drifting`` (two readers of a plan).
"""
