"""JSON to dataclasses: accepted is what the dataclass says, and every fault has its place."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ftsdk.strict import AtLeast, Matching, StrictError, Within, parsed, read, written


@dataclass(frozen=True, kw_only=True)
class Inner:
    count: Annotated[int, Within(ge=0, lt=10)]
    name: Annotated[str, Matching("[a-z]+")] = "a"


@dataclass(frozen=True, kw_only=True)
class Outer:
    share: Annotated[float, Within(gt=0, le=1)]
    kind: Literal["one", "two", 1]
    flag: bool
    pair: tuple[str, float]
    many: Annotated[tuple[Inner, ...], AtLeast(1)]
    by_name: dict[str, tuple[int, ...]]
    maybe: Annotated[int, Within(gt=0)] | None = None


GOOD: dict[str, Any] = {
    "share": 1,
    "kind": "two",
    "flag": False,
    "pair": ["é", 2.5],
    "many": [{"count": 9}, {"count": 0, "name": "bc"}],
    "by_name": {"x": [1, 2], "": []},
}


def test_what_is_described_is_made_and_written_again() -> None:
    made = read(Outer, GOOD)
    assert made == Outer(
        share=1.0,
        kind="two",
        flag=False,
        pair=("é", 2.5),
        many=(Inner(count=9), Inner(count=0, name="bc")),
        by_name={"x": (1, 2), "": ()},
    )
    assert type(made.share) is float
    for indent in (None, 1):
        assert parsed(Outer, written(made, indent)) == made
    assert written(Inner(count=3)) == b'{"count":3,"name":"a"}'


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"share": 0}, "share: not > 0 and <= 1"),
        ({"share": 1.5}, "share: not > 0 and <= 1"),
        ({"share": True}, "share: not a number"),
        ({"share": "1"}, "share: not a number"),
        ({"share": float("nan")}, "share: not a number"),
        ({"share": float("inf")}, "share: not a number"),
        ({"share": 10**400}, "share: not a number"),
        ({"kind": "three"}, "kind: not one of one, two, 1"),
        ({"kind": True}, "kind: not one of one, two, 1"),
        ({"kind": []}, "kind: not one of one, two, 1"),
        ({"flag": 0}, "flag: not true or false"),
        ({"pair": ["a"]}, "pair: not 2 items"),
        ({"pair": ["a", 1, 2]}, "pair: not 2 items"),
        ({"pair": "ab"}, "pair: not a list"),
        ({"pair": ["\udcff", 1]}, "pair.0: not text"),
        ({"many": []}, "many: not of 1 items or more"),
        ({"many": [{"count": 1.0}]}, "many.0.count: not a whole number"),
        ({"many": [{"count": 10}]}, "many.0.count: not >= 0 and < 10"),
        ({"many": [{"count": -1}]}, "many.0.count: not >= 0 and < 10"),
        ({"many": [{"count": 1, "name": "a\n"}]}, "many.0.name: not text of the form [a-z]+"),
        ({"many": [{}]}, "many.0.count: missing"),
        ({"many": [{"count": 1, "more": 1}]}, "many.0.more: not known"),
        ({"many": [7]}, "many.0: no object"),
        ({"many": {}}, "many: not a list"),
        ({"by_name": {"x": [None]}}, "by_name.x.0: not a whole number"),
        ({"by_name": {"\udcff": []}}, "by_name: not text"),
        ({"by_name": []}, "by_name: not an object"),
        ({"maybe": 0}, "maybe: not > 0"),
        ({"\udcff": 0}, "\\udcff: not known"),
    ],
)
def test_what_is_not_so_is_refused_and_said(change: dict[str, Any], said: str) -> None:
    with pytest.raises(StrictError) as caught:
        read(Outer, GOOD | change)
    assert str(caught.value) == said


def test_every_fault_is_said() -> None:
    with pytest.raises(StrictError) as caught:
        read(Outer, {"flag": 1, "share": None})
    assert str(caught.value).split("; ") == [
        *(f"{name}: missing" for name in ("by_name", "kind", "many", "pair")),
        "share: not a number",
        "flag: not true or false",
    ]


@pytest.mark.parametrize(
    "content", [b"", b"{", b"\xff", b"[" * 100_000, '{"count": 1}'.encode("utf-16")]
)
def test_what_is_no_json_is_refused(content: bytes) -> None:
    with pytest.raises(StrictError):
        parsed(Inner, content)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(field=st.sampled_from(sorted(GOOD)), value=JSON)
def test_whatever_comes_is_made_or_refused(field: str, value: object) -> None:
    try:
        made = read(Outer, GOOD | {field: value})
    except StrictError:
        return
    assert json.loads(written(made))[field] == value
