"""The loop of the contract tests over the houses."""

from __future__ import annotations

import pytest

from tests.contracts.each import over_each


def test_all_that_fail_are_told() -> None:
    """Nothing ends the loop: neither an assertion, nor an error, nor a test that is failed or skipped by pytest."""
    called = []

    def call(name: str) -> None:
        called.append(name)
        match name:
            case "b":
                raise ZeroDivisionError
            case "c":
                pytest.fail("no")
            case "d":
                pytest.skip("no")

    with pytest.raises(BaseExceptionGroup, match="over 3 of 4") as caught:
        over_each(["a", "b", "c", "d"], call)
    assert called == ["a", "b", "c", "d"]
    assert [error.__notes__ for error in caught.value.exceptions] == [["over b"], ["over c"], ["over d"]]


def test_a_loop_over_nothing_fails() -> None:
    """It would prove nothing."""
    with pytest.raises(AssertionError):
        over_each([], lambda _: None)
