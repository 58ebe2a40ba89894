"""Plot the logs of training runs in one figure.

    python -m evaluation.curves runs/superres-plain runs/superres --out curves.png [--column pixel]

Needs matplotlib (extra `eval`).
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path


def main() -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="+")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--column", default="loss")
    args = parser.parse_args()
    figure, axes = pyplot.subplots(figsize=(8, 4.5))
    for run in args.runs:
        with (run / "log.csv").open(newline="") as file:
            rows = [row for row in csv.DictReader(file) if row.get(args.column)]
        axes.plot([int(r["samples"]) for r in rows], [float(r[args.column]) for r in rows], label=run.name)
    axes.set(xlabel="samples", ylabel=args.column, yscale="log")
    axes.legend()
    figure.savefig(args.out, dpi=120, bbox_inches="tight")


if __name__ == "__main__":
    main()
