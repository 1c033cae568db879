"""How long a call may take."""

import pytest

from lastunit_node.frontend.deadlines import DEFAULT_SECONDS, MAX_SECONDS, seconds_for


@pytest.mark.parametrize(
    ("asked", "seconds"),
    [
        pytest.param(None, DEFAULT_SECONDS, id="no deadline: the default"),
        pytest.param(10.0, 9.9, id="a margin for the answer"),
        pytest.param(0.2, 0.18, id="a share of a short one"),
        pytest.param(3600.0, MAX_SECONDS, id="the longest"),
    ],
)
def test_work_has_so_many_seconds(asked: float | None, seconds: float) -> None:
    assert seconds_for(asked) == pytest.approx(seconds)
