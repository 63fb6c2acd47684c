"""The rules of ``dbt-flow lint``: each a small function over a :class:`.landscape.Landscape`. No disk, no process, no clock.

- :mod:`.found`     what a rule finds; the shape of the table
- :mod:`.landscape` what the rules see
- :mod:`.coverage`  what no DAG builds or tests, and what two do
- :mod:`.waiting`   who reads what another is still building; circles; what nothing starts
- :mod:`.when`      schedules against the past and the clocks
- :mod:`.people`    owners
- :mod:`.rulebook`  the table of rules, and silences
- :mod:`.mending`   which ``after:`` may safely stand where a schedule stands
"""
