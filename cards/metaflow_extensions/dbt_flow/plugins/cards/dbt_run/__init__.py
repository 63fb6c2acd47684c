"""The ``dbt_run`` card as Metaflow knows it.

Every ``import metaflow`` imports this file, in every project of a user, and swallows what it raises: so it imports nothing of
ours, nor jinja2. The page is made by ``render.py``, beside it.
"""

from metaflow.cards import MetaflowCard


class DbtRunCard(MetaflowCard):
    """Renders the document that a task left as its artifact ``card_document``."""

    type = "dbt_run"

    def render(self, task):
        """Return the page for ``task``; a calm one that says so when the task left no document."""
        from .render import render_card  # noqa: PLC0415 (see the module's docstring)

        try:
            document = task["card_document"].data
        except KeyError:
            document = None
        return render_card(document)


CARDS = [DbtRunCard]
