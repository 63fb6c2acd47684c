"""Every private thing of dbt that ``project`` touches. A test per row says which upstream change broke it.

1. :mod:`.invocation`, the ``click`` context of a running ``dbtRunner`` command, ``obj["runtime_config"]`` and ``obj["flags"]``.
   Why: the profile, project and flags that dbt itself resolved for the parse; loading them a second time could disagree.
   Replaced by: a ``dbtRunnerResult`` that holds the resolved config.
2. :mod:`.invocation`, ``dbt.cli.flags.Flags`` with ``args_to_context``, and ``dbt.flags.set_flags``.
   Why: selection reads flags that are global to the process. Replaced by: a selector that takes its flags.
3. :mod:`.invocation`, ``EventManager.loggers`` and ``EventManager.callbacks``.
   Why: what selection complains of is an event, not an exception. Replaced by: warnings in a result.
4. :mod:`.selection`, ``dbt.compilation.Linker.link_graph`` and ``dbt.graph.Graph``.
   Why: one graph for many selections. Replaced by: a public command that selects as ``build`` does, many at a time.
5. :mod:`.selection`, ``dbt.task.build.BuildTask``: ``get_selection_spec`` and ``get_node_selector``; ``ResourceTypeSelector``.
   Why: the selection of ``dbt build`` and no likeness of it: its types, default selectors, ``state:``. Replaced by: the same.
6. :mod:`.contents`, attributes of ``Manifest`` and its nodes, and its msgpack form (``dbt.parser.manifest``).
   Why: writing manifest.json and reading it back takes seconds on a large project. Replaced by: manifest.json, same names.
7. :mod:`.freshness`, ``dbt.task.freshness.FreshnessTask.get_hooks_by_type`` and what ``FreshnessRunner`` renders a query with.
   Why: ``source freshness`` inside a run would run the project's hooks once more. Replaced by: a flag of the command.
8. :mod:`dbt_flow.project.refusals`, the names of dbt's exception classes and the words of some of its messages.
   Why: dbt says what is wrong in prose alone. Replaced by: error codes with a file and a line.
"""
