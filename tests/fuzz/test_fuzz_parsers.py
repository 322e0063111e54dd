"""Every parser, with mutated input: only the errors that it promises, and what its target says must hold."""

from __future__ import annotations

import pytest

from tests.fuzz.mutations import mutated
from tests.fuzz.seeds import replayable, rounds
from tests.fuzz.targets import TARGETS

# Inputs of one round of one target.
INPUTS = 40


def test_the_examples_hold() -> None:
    """The checks are right about what nobody has mutated."""
    for name, target in TARGETS.items():
        for example in target.examples:
            with replayable(0, name) as chance:
                target.check(example, chance)


@pytest.mark.slow
def test_mutated_input() -> None:
    """However it is damaged."""
    everything = [example for target in TARGETS.values() for example in target.examples]
    for seed in rounds(8):
        for name, target in TARGETS.items():
            with replayable(seed, name) as chance:
                for _ in range(max(1, INPUTS // target.cost)):
                    data = mutated(chance, chance.choice(target.examples), everything)
                    try:
                        target.check(data, chance)
                    except BaseException as failure:
                        failure.add_note(f"{name}: {data!r}")
                        raise
