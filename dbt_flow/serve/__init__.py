"""The local event runtime: schedules, events and the ends of runs start DAGs and ML flows, on one machine.

What it has taken in survives ``kill -9``.

Reads downwards as an event does::

    event        one event, and the wire format in which it comes        listeners     who waits for what: DAGs and ML flows
    flow_ends    ends of ML flows, as Metaflow has them                  eventlog      SQLite: all that is remembered
    intake       an event becomes deliveries, in one transaction         clockwork     schedules: which starts are due
    outcomes     ends of runs, read from what was recorded               starter       how a delivery becomes a process
    executor     starts, watches, ends; recovers after a crash           runtime       the loop that owns the log
    webhook      HTTP in                                                 page          HTML out
    simulation   the same decisions, with a clock that can be set

The decisions themselves (who starts when) are in :mod:`dbt_flow.plan.arrivals`: no clock, no disk, no process.

``claim`` and ``read_flow`` are run as processes of their own; ``crash`` is the tests' way to kill the server at a named point.
"""
