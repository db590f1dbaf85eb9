"""Summarises compared variants in two or three sentences: which is best, by how much, and what is not decided.

A difference counts by the rule of all tables (`e2.benchmarks.core.support.sign`), so that no sentence is kinder than they are.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from markupsafe import Markup

from e2.benchmarks.core.support import Bounds, interval_of_pair, sign, signed

NAMED = 3  # variants named in a sentence; of more, one is named and the others are counted
NAME = Markup("<b><bdi>{}</bdi></b>")


class Rival(NamedTuple):
    """Another variant than the best: how far behind it lies, with the interval, and whether the interval supports that."""

    name: str
    behind: float
    bounds: Bounds | None
    clear: bool

    @property
    def shown(self) -> Markup:
        """Name and distance: ``clip (+4.2; +1.0 to +7.4)``."""
        interval = "; " + " to ".join(map(signed, self.bounds)) if self.bounds else ""
        return NAME.format(self.name) + f" ({signed(self.behind)}{interval})"


def summary(
    scores: Mapping[str, Mapping[str, Any]],
    differences: Sequence[dict[str, Any]],
    metric: str,
    *,
    words: str,
    over: str,
    names: Mapping[str, str] | None = None,
) -> list[Markup]:
    """Writes the sentences, in HTML.

    Args:
        scores: variant -> ``metrics`` and ``ci95``, as in a record.
        differences: paired, as in a record. Two variants without one are compared by their own intervals.
        metric: that decides; more is better.
        words: its name for readers.
        over: what was measured, e.g. ``653 products and 3 seeds``.
        names: variant -> name for readers, where they differ.

    Returns:
        One to three sentences; none where no variant has the metric.
    """
    known = {variant: found for variant, found in scores.items() if metric in found["metrics"]}
    if not known:
        return []
    shown = names or {}
    best = max(known, key=lambda variant: known[variant]["metrics"][metric])
    value, bounds = known[best]["metrics"][metric], known[best]["ci95"].get(metric)
    interval = f" ({bounds[0]:.1f} to {bounds[1]:.1f})" if bounds else ""
    name, reached = NAME.format(shown.get(best, best)), f"{value:.1f}{interval} over {over}"
    if len(known) == 1:
        return [name + f" reaches {words} {reached}; there is nothing to compare it with."]
    rivals = []
    for variant in known.keys() - {best}:
        paired = interval_of_pair(differences, best, variant, metric)
        rivals.append(_rival(known[best], known[variant], paired, metric, shown.get(variant, variant)))
    rivals.sort(key=lambda rival: (rival.behind, rival.name))
    ahead, undecided = [one for one in rivals if one.clear], [one for one in rivals if not one.clear]
    sentences = [name + f" has the highest {words}: {reached}."]
    if ahead:
        sentences.append(Markup("It is ahead of {}.").format(_listed(ahead, "and", len(rivals))))
    if undecided:
        sentences.append(Markup("Not decided: whether it is better than {}.").format(_listed(undecided, "or", len(rivals))))
    return sentences


def _rival(best: Mapping[str, Any], other: Mapping[str, Any], paired: Bounds | None, metric: str, name: str) -> Rival:
    behind = best["metrics"][metric] - other["metrics"][metric]
    own, theirs = best["ci95"].get(metric), other["ci95"].get(metric)
    apart = (own[0] - theirs[1], own[1] - theirs[0]) if own and theirs else None
    return Rival(name, behind, paired, sign(behind, paired or apart) == 1)


def _listed(rivals: Sequence[Rival], joint: str, of: int) -> Markup:
    """Names rivals, nearest first; of many only the nearest."""
    if len(rivals) > NAMED:
        everyone = "all" if len(rivals) == of else f"{len(rivals)} of the"
        return Markup("{} {} others, the nearest {}").format(everyone, of, rivals[0].shown)
    *first, last = (rival.shown for rival in rivals)
    return Markup(", ").join(first) + f" {joint} " + last if first else last
