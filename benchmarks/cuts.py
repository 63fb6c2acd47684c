"""A large load on PostgreSQL with many threads while connections are cut at random: is the result right?

    python benchmarks/cuts.py [--models 250] [--threads 32] [--cuts 100]

Every model has a test, so 250 models are 500 nodes. The same project is built twice: undisturbed, and under cuts. Exit code 0:
the run under cuts is good and every model holds the same rows.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[1] / "tests" / name) for name in ("", "warehouses")]

from cut_project import cutting, left_over, rows_of, write_project  # noqa: E402 - the tests' own
from servers.postgres import Database, server  # noqa: E402
from shop import Shop  # noqa: E402


def main() -> int:
    """Build both, compare, and say what was seen."""
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--models", type=int, default=250)
    words.add_argument("--threads", type=int, default=32)
    words.add_argument("--cuts", type=int, default=100)
    words.add_argument("--seconds", type=float, default=0.5, help="how long a model takes at the least, under cuts")
    said = words.parse_args()
    with tempfile.TemporaryDirectory(prefix="cuts-") as name, server(connections=said.threads * 2 + 60) as port:
        found = {}
        for side in ("quiet", "cut"):
            database = Database(port).sibling(side)
            folder = Path(name) / side
            write_project(folder, database, said.models, threads=said.threads, seconds=said.seconds if side == "cut" else 0.0)
            with cutting(database, 0.15, said.cuts if side == "cut" else 0) as cutter:
                ran = Shop(folder).start(*Shop(folder).command("cuts")).end(within=3600)
            tried = sum("tried again" in node["reason"] for node in ran.json["nodes"])
            found[side] = rows_of(database, said.models)
            print(f"{side}: exit {ran.code}, {ran.json['counts']}, {ran.seconds:.0f} s, {cutter.cuts.total()} connections cut,")
            print(f"  {tried} nodes tried again, left over: {left_over(database) or 'nothing'}", flush=True)
            bad = [node for node in ran.json["nodes"] if node["status"] not in ("success", "pass")]
            for node in bad[:10]:
                print(f"  {node['id']}: {node['status']} {node['reason']}")
    same = found["quiet"] == found["cut"]
    print("every model holds the same rows" if same else "the rows DIFFER")
    return 0 if same and ran.code == 0 else 1


if __name__ == "__main__":
    sys.exit(main())
