"""Which run a person means: a DAG's last one, ``CarrierRisk/123``, ``carrier_risk/123``, or a bare id."""

from __future__ import annotations

from pathlib import Path

from dbt_flow.errors import InputError
from dbt_flow.records import RunResult, flow_name
from dbt_flow.settings import Settings, dag_file
from dbt_flow.state.begun import dags_begun, unheard
from dbt_flow.state.places import store_of
from dbt_flow.state.runs import RunRecord, RunRef, find_runs, newest_run
from dbt_flow.state.store import Store
from dbt_flow.yamlfile import did_you_mean


def find(settings: Settings, said: str, target: str | None = None) -> RunRecord:
    """The record of the run that ``said`` names.

    :raises InputError: there is no such run, or no run of that DAG yet.
    """
    store = store_of(settings)
    settle_the_unheard(store)
    name, slash, number = said.rpartition("/")
    if not slash:
        name, number = ("", said) if said.isdigit() else (said, "")
    refs = [ref for ref in find_runs(store, None, target) if _is(ref, name) and number in ("", ref.number)]
    if not refs:
        raise _unknown(store, said, name or said)
    return RunRecord(store, newest_run(store, refs))


def settle_the_unheard(store: Store, dag: str | None = None) -> None:
    """Runs that died before they had a record get one now."""
    dags = dags_begun(store) if dag is None else [dag]
    dead = [name for name in dags if unheard(store, name)[0]]
    if dead:
        from dbt_flow.pipeline.unheard import settle_unheard  # loads the card's side, when a run has died

        for name in dead:
            settle_unheard(store, name)


def settled(record: RunRecord) -> RunResult | None:
    """What became of the run; one that died without a word is settled now. None while it goes on."""
    from dbt_flow.pipeline.settle import settle_dead  # loads the card's side only for who reads runs

    ref = record.ref
    return record.result() or settle_dead(record.store, ref.dag, ref.number, flow_name(ref.dag))


def _is(ref: RunRef, name: str) -> bool:
    return name in ("", ref.dag, flow_name(ref.dag))


def _unknown(store: Store, said: str, name: str) -> InputError:
    known = sorted({ref.dag for ref in find_runs(store)})
    if not known:
        return InputError("unknown-run", f"no run of {said}: nothing has run yet", hint="run a DAG: dbt-flow run DAG")
    if name in known or name in map(flow_name, known):
        return InputError("unknown-run", f"no run {said}", hint=f"see which there are: dbt-flow history {name}")
    near = did_you_mean(name, [*known, *map(flow_name, known)])
    hint = f"did you mean {near}?" if near else f"these have run: {', '.join(known)}"
    return InputError("unknown-run", f"no run of {said}", hint=hint)


def file_of(settings: Settings, said: str) -> Path:
    """The file of the DAG that ``said`` names, or the file that it is; its text is not read when it is plain which one.

    Reading DAG files costs a third of a second; the run's own process does it at the same time.

    :raises DbtFlowError: there is no such DAG, or there are two.
    """
    plain = dag_file(settings, said)
    if plain is not None:
        return plain
    from dbt_flow.spec import load_dag

    return settings.root / load_dag(settings, said).file
