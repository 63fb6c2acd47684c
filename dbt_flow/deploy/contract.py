"""Inputs are contracts: whoever starts a deployed flow relies on its parameters. A breaking change is a new version."""

from __future__ import annotations

from dbt_flow.deploy.nouns import Applied, Wanted, family_of
from dbt_flow.errors import DbtFlowError, InputError


def broken_by(wanted: Wanted, applied: Applied) -> list[DbtFlowError]:
    """What of the inputs would fail those who start the deployed version as they do now.

    A new parameter with a default, and one that is no longer required, break nobody.
    """
    before = applied.known_inputs
    if before is None:
        return []
    family, number = family_of(wanted.flow)
    way = f"write version: {number + 1}" if wanted.kind == "dag" else f"name the class {family}V{number + 1}"
    hint = f"{way}: it is deployed beside this version until that is removed; or keep the input as it was"
    found: list[DbtFlowError] = []

    def breaks(name: str, what: str) -> None:
        message = f"{wanted.name}: {what}"
        found.append(InputError("breaks-contract", message, place=wanted.input_place(name), hint=hint))

    for name, old in before.items():
        new = wanted.inputs.get(name)
        if new is None:
            breaks(name, f"the parameter {name} is gone, and whoever gives it a value would be refused")
        elif new.type != old.type:
            breaks(name, f"the parameter {name} was {old.type} and is {new.type}: values given today would no longer fit")
        elif new.required and not old.required:
            breaks(name, f"the parameter {name} has no default any more, and whoever leaves it out would be refused")
    for name, new in wanted.inputs.items():
        if name not in before and new.required:
            breaks(
                name, f"the parameter {name} is new and has no default: whoever starts the deployed version does not know it"
            )
    return found
