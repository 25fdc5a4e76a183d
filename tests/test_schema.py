from __future__ import annotations

import polars as pl

from curate.base import contract, schema
from curate.base.contract import verdicts
from curate.base.schema import content_id, text_of


def test_equal_conversations_have_equal_ids_whatever_else_came_with_them() -> None:
    bare = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello"}]
    dressed = [{**message, "weight": 1.0, "name": None, "tool_calls": ""} for message in bare]
    assert content_id(bare) == content_id(dressed)


def test_role_content_order_and_tools_all_count_for_the_id() -> None:
    base = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    others = [
        [{"role": "system", "content": "a"}, base[1]],
        [base[0], {"role": "assistant", "content": "b "}],
        base[::-1],
        [{"role": "user", "content": "ab"}, {"role": "assistant", "content": ""}],
        [base[0], {**base[1], "reasoning": "c"}],
    ]
    ids = [content_id(base), content_id(base, '[{"name": "f"}]'), *map(content_id, others)]
    assert len(set(ids)) == len(ids)
    assert all(len(found) == 16 and int(found, 16) >= 0 for found in ids)


def test_prompt_is_all_that_is_not_the_assistant_and_response_all_that_is() -> None:
    turns = [
        {"role": "system", "content": "S"},
        {"role": "user", "content": "U"},
        {"role": "assistant", "content": "A"},
        {"role": "tool", "content": None},
        {"role": "assistant", "content": "B"},
    ]
    frame = pl.DataFrame({"m": [turns, []]}, schema={"m": schema.MESSAGES})
    texts = frame.select(
        prompt=text_of(pl.col("m"), assistant=False), response=text_of(pl.col("m"), assistant=True)
    )
    assert texts.rows() == [("S\n\nU", "A\n\nB"), ("", "")]


def test_verdicts_are_typed_even_when_every_optional_column_is_absent() -> None:
    assert verdicts([True, False], reason=[None, "x"]).schema == contract.VERDICTS
    assert verdicts([]).schema == contract.VERDICTS
