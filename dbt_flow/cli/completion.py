"""``dbt-flow completion``: the lines that make a shell complete verbs, options, DAGs, runs, nodes and tags."""

from __future__ import annotations

import click
from click.shell_completion import BashComplete, get_completion_class

SHELLS = ("bash", "zsh", "fish")
_COLON = """
# Selections such as tag:fuel are one word.
COMP_WORDBREAKS=${COMP_WORDBREAKS//:}
"""


@click.command("completion", short_help="Complete DAGs, nodes and tags.")
@click.argument("shell", type=click.Choice(SHELLS))
def command(shell: str) -> int:
    """Print what makes your shell complete what you type: verbs, options, DAGs, runs, nodes and tags. Load it where it starts:

    \b
    echo 'eval "$(dbt-flow completion bash)"' >> ~/.bashrc
    echo 'eval "$(dbt-flow completion zsh)"' >> ~/.zshrc
    dbt-flow completion fish > ~/.config/fish/completions/dbt-flow.fish

    Nodes and tags are those of the project as dbt last read it here; completion itself loads no dbt.
    """
    from dbt_flow.cli import COMPLETE, cli

    kind = get_completion_class(shell)
    assert kind is not None  # noqa: S101 - click ships the three
    complete = kind(cli, {}, "dbt-flow", COMPLETE)
    text = complete.source_template % complete.source_vars() if isinstance(complete, BashComplete) else complete.source()
    click.echo(text.rstrip() + (_COLON if shell == "bash" else ""))
    return 0
