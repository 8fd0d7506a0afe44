"""`python -m proof [--full] [--seed N] [NAME...]`: prove it, print one table, fail if it fails."""

import argparse
import sys
import warnings

from rich.console import Console

from proof import (
    boards,
    decisions,
    embedded,
    explained,
    fanout,
    faults,
    fuzz,
    histories,
    killed,
    mutants,
    patience,
    privileges,
    races,
    reviews,
    roles,
    rollouts,
    static,
    watch,
)
from proof.report import Check, Line, show, timed, write
from proof.result import SEED, Scale

CHECKS: tuple[Check, ...] = (
    Check("faults", "every call of every flow x every error, then once more", faults.faults),
    Check("patience", "AWS not there yet, at every call: ready in one run", patience.patience),
    Check("crashes", "the process gone before or after every call", faults.crashes),
    Check("kills", "SIGKILL to a real process, after every call", killed.kills),
    Check("pairs", "two errors or crashes, in one run or in two", faults.pairs_of_faults),
    Check("histories", "events doubled, reordered, 30 % lost, among edits", histories.histories),
    Check("races", "8 workers on one region, call by call", races.races),
    Check("approvals", "replace, approve, execute: only what was reviewed", rollouts.reviews),
    Check("alarms", "alarms of a wave, at any minute, flapping, no data", rollouts.alarms),
    Check("rollouts", "a rollout killed after every call, and asked again", rollouts.kills),
    Check(
        "requests", "custom resource requests, mutated and made up", fuzz.custom_resource_requests
    ),
    Check("events", "every other event, mutated and made up", fuzz.events),
    Check("declarations", "declarations of pipelines, mutated and garbled", fuzz.declarations),
    Check("templates", "templates to package, mutated and garbled", fuzz.templates),
    Check("zips", "archives that somebody wants to do harm with", fuzz.zips),
    Check("decisions", "who may do what: the table, judged independently", decisions.decisions),
    Check("necessary", "no statement or condition can be left out", decisions.necessary),
    Check("sizes", "policies for 1 and 10,000 accounts, 200 pipelines", decisions.sizes),
    Check("embedded", "the same table, asked of the embedded AWS", embedded.cross_checked),
    Check("privileges", "granted = needed, every action and resource", privileges.least_privilege),
    Check("chains", "no role tags somebody's key, then owns it", privileges.two_in_a_row),
    Check("roles", "the same for pipelines/ and what declarations become", roles.role_privileges),
    Check("waves", "pipelines with waves, by two rules of AWS Config", fanout.waves),
    Check("explained", "one thing broken is named, and mended", explained.explanations),
    Check("owners", "every S3 call names the bucket's owner", watch.owner_named),
    Check("reviews", "68 change sets folded: what is grave, odd, a risk", reviews.reviews),
    Check("boards", "680 cells: code changed beside it, grades, orphans", boards.boards),
    Check("access", "policies before and after, judged independently", reviews.policy_pairs),
    Check("squatting", "foreign bucket, alias, parameter, at every step", watch.squatting),
    Check("secrets", "canaries in logs", watch.secrets),
    Check("limits", "34 regions within the API rates, on a simulated clock", watch.limits),
    Check("static", "static checkers", static.static),
    Check("policies", "policies rendered into a template and linted", static.rendered_policies),
    Check("coverage", "branch coverage of the deciding modules", mutants.coverage),
    Check("mutants", "mutants of the deciding modules, killed by tests", mutants.mutants),
)


def main(arguments: list[str] | None = None) -> int:
    names = [check.name for check in CHECKS]
    parser = argparse.ArgumentParser(prog="python -m proof", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(names)}")
    parser.add_argument("--full", action="store_true", help="all of each, and write docs/proof.md")
    parser.add_argument("--seed", type=int, default=SEED)
    asked = parser.parse_args(arguments)
    unknown = sorted(set(asked.names) - set(names))
    if unknown:
        parser.error(f"there is no {', '.join(unknown)}; choose of {', '.join(names)}")
    # Powertools warns of every invocation that has nothing to measure.
    warnings.filterwarnings("ignore", message="No application metrics to publish")
    scale, console = Scale(full=asked.full, seed=asked.seed), Console(highlight=False)
    lines: list[Line] = []
    for check in CHECKS:
        if not asked.names or check.name in asked.names:
            with console.status(check.what):
                lines.append(timed(check, scale))
            if not console.is_terminal:
                console.print(f"{check.name}: {lines[-1].seconds:.0f} s")
    show(lines, console)
    if scale.full:
        write(lines, scale, CHECKS)
    return 1 if any(line.result.failures for line in lines) else 0


if __name__ == "__main__":
    sys.exit(main())
