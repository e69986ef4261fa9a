"""The tuner: proposes other values for the numeric constants of the champion.

In: a Briefing. Out: proposals that change one to three constants each. It needs no key and no
network, and is the honest baseline that an LLM has to beat. It keeps nothing between calls:
the sampler is rebuilt from the briefing's experiments that share the champion's skeleton, so
that a restarted tuner goes on where the last one stood, and equal briefings give equal
answers. It edits nothing but constants and decides nothing about what is kept.

While little is known it tries each learning rate twice and half as large (`screening.py`). Then:
few constants at a time, in ranges centred on the champion: of sixteen constants under a noise
of 0.002 this came nearer to the optimum than TPE over all of them, of eight about as near, and
far nearer than random search (`benchmarks/tuner.py`; figures in `docs/log.md`). And an edit of
three constants says more to its reader than one of sixteen.
"""

import statistics
from collections.abc import Iterator, Mapping, Sequence

from agent.briefing import Briefing, Constants, PastExperiment
from agent.proposal import TUNER, Proposal
from agent.ranges import Range, range_of
from agent.screening import first_steps
from agent.search import Search
from agent.source import constants_of, edit_constants, identify

TRIES = 40  # points that may turn out to be known already, for one proposal
BEST_SHARE = 0.2  # of the measured experiments: those whose values a hypothesis speaks of
FAILURES = frozenset({"crash", "timeout", "oom", "rejected"})


class Tuner:
    """Proposes values for the champion's constants; the module says how. Keeps no state."""

    def propose(self, briefing: Briefing) -> tuple[Proposal, ...]:
        """Up to `briefing.count` proposals, each unlike the others and all that is known.

        Fewer where no new point was found, none where the champion has no constants to move.
        Raises SourceError if the champion's code does not parse.
        """
        files = briefing.champion.files
        ranges = tunable(files)
        if not ranges:
            return ()
        own = identify(files)
        alike = [e for e in briefing.past() if e.skeleton == own.skeleton]
        alike = [e for e in alike if e.constants.keys() >= ranges.keys()]
        search = _search(briefing, alike, own.skeleton, ranges)
        known = {own.fingerprint, *(e.fingerprint for e in (*briefing.past(), *briefing.pending))}
        proposals: list[Proposal] = []
        for point in _points(search, ranges, briefing.count * TRIES):
            if len(proposals) == briefing.count:
                break
            changed = {name: value for name, value in point.items() if value != own.constants[name]}
            if not changed:
                continue
            hypothesis = _hypothesis(changed, alike, search, briefing)
            proposal = _write(briefing, own.constants, changed, hypothesis)
            if proposal.fingerprint not in known:
                known.add(proposal.fingerprint)
                proposals.append(proposal)
        return tuple(proposals)


def tunable(files: Mapping[str, str]) -> dict[str, Range]:
    """The ranges of the constants that can be moved, by name. Raises SourceError."""
    return {
        name: found
        for name, value in constants_of(files).items()
        if (found := range_of(name, value)) is not None
    }


def _points(
    search: Search, ranges: Mapping[str, Range], tries: int
) -> Iterator[dict[str, int | float]]:
    """Points worth a look: the first steps while little is known, then the sampler's."""
    if search.explores:
        yield from first_steps(ranges)
    for _ in range(tries):
        yield search.ask()


def _search(
    briefing: Briefing,
    alike: Sequence[PastExperiment],
    wanted: str,
    ranges: Mapping[str, Range],
) -> Search:
    """A search that knows what became of the experiments and what is still running."""
    search = Search(ranges, minimize=briefing.minimize, seed=briefing.seed)
    running = [e for e in briefing.pending if e.skeleton == wanted]
    for experiment in running:
        search.add_running(experiment.constants)
    for experiment in alike:
        value = experiment.estimate if experiment.metric is None else experiment.metric
        if value is not None:
            search.add_measured(experiment.constants, value)
        elif experiment.state in FAILURES:
            search.add_failed(experiment.constants)
    return search


def _hypothesis(
    changed: Constants, alike: Sequence[PastExperiment], search: Search, briefing: Briefing
) -> str:
    """Why these values: to explore, or because the best measured ones lie near."""
    measured = [(e.metric, e.constants) for e in alike if e.metric is not None]
    if search.explores or not measured:
        return (
            f"Explores {', '.join(changed)} around the champion's values; too little was measured "
            f"({len(measured)} like it) to say where the good values lie."
        )
    measured.sort(key=lambda pair: pair[0], reverse=not briefing.minimize)
    best = measured[: max(1, round(BEST_SHARE * len(measured)))]
    near = ", ".join(
        f"{name} near {statistics.median(constants[name] for _, constants in best):.3g}"
        for name in changed
    )
    verb = "lower" if briefing.minimize else "raise"
    return (
        f"The best {len(best)} of {len(measured)} measured experiments have {near}; the sampler "
        f"expects these values to {verb} {briefing.metric}."
    )


def _write(briefing: Briefing, old: Constants, changed: Constants, hypothesis: str) -> Proposal:
    """The proposal that gives the champion's constants new values."""
    champion = briefing.champion
    files = edit_constants(champion.files, changed)
    identity = identify({**champion.files, **files})
    return Proposal(
        title=", ".join(f"{name} {old[name]:.12g} -> {new:.12g}" for name, new in changed.items()),
        hypothesis=hypothesis,
        parent=champion.experiment,
        files=files,
        origin=TUNER,
        fingerprint=identity.fingerprint,
        skeleton=identity.skeleton,
        constants=identity.constants,
    )
