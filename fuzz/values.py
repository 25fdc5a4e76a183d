"""Random JSON: values that break things, and changes of values that are right."""

from __future__ import annotations

import copy
import json
import random
from typing import Any

JSON = Any
Path = tuple[Any, ...]

TEXTS = (
    *(
        "",
        " ",
        "\n",
        "\x00",
        "\x1b[31m",
        "\u202e",
        "\ufeff",
        "\u2028",
        "e\u0301",
        "😀",
        "👩‍👧",
        "你好",
    ),
    *("null", "true", "0", "-1", "1e400", "NaN", "[]", "{}", "[[]]", '{"a": 1}', "['a', 'b']"),
    *("<|im_end|>", "</s>", "<think>", "</think>", "<tool_call>", "{{ 7 * 7 }}", "{% raw %}"),
    *("<script>alert(1)</script>", "'; DROP", "../../x", "%s%n", "\\", '"', "a" * 5_000),
    *("system", "user", "assistant", "tool", "human", "gpt", "function", "USER: a\n\nASSISTANT: b"),
    *("\n\nHuman: a\n\nAssistant: b", "### Human: a### Assistant: b", "[|Human|] a [|AI|] b"),
)
NUMBERS = (0, 1, -1, 2, 0.5, -0.0, 1e308, 5e-324, 2**31, 2**53 + 1, 2**63, -(2**63) - 1, 10**30)


def text(chance: random.Random) -> str:
    """A text that breaks things, or several of them."""
    return "".join(chance.choices(TEXTS, k=chance.choice((1, 1, 1, 2, 3))))


def value(chance: random.Random, depth: int = 0) -> JSON:
    """Any JSON value, sometimes deeply nested."""
    kind = chance.randrange(12)
    if kind < 4:
        return text(chance)
    if kind < 6:
        return chance.choice(NUMBERS)
    if kind < 8:
        return chance.choice((None, True, False))
    if kind == 11 and depth == 0 and chance.random() < 0.1:
        return json.loads("[" * 300 + "]" * 300)
    if depth > 3:
        return []
    inner = [value(chance, depth + 1) for _ in range(chance.randrange(4))]
    if kind < 10:
        return inner
    return {text(chance) or "k": each for each in inner}


def paths(whole: JSON, here: Path = ()) -> list[Path]:
    """The places of all values inside of a value, its own first."""
    found = [here]
    if isinstance(whole, dict):
        for key, each in whole.items():
            found += paths(each, (*here, key))
    elif isinstance(whole, list):
        for at, each in enumerate(whole):
            found += paths(each, (*here, at))
    return found


def at(whole: JSON, path: Path) -> JSON:
    """The value at a place."""
    for step in path:
        whole = whole[step]
    return whole


def put(whole: JSON, path: Path, new: JSON) -> JSON:
    """The value with another one at a place; it is changed."""
    if not path:
        return new
    at(whole, path[:-1])[path[-1]] = new
    return whole


def mutated(chance: random.Random, whole: JSON, names: tuple[str, ...] = ()) -> JSON:
    """A copy with one thing changed; `names` are keys that mean something."""
    whole = copy.deepcopy(whole)
    places = paths(whole)
    path = chance.choice(places[1:] or places)
    old = at(whole, path)
    kind = chance.randrange(10)
    if kind < 4 or not path:
        return put(whole, path, value(chance))
    holder = at(whole, path[:-1])
    if kind == 4:
        del holder[path[-1]]
    elif kind == 5:
        put(whole, path, chance.choice(([old], {"value": old}, [old, old], str(old))))
    elif kind == 6:
        put(whole, path, json.dumps(old))
    elif kind == 7:
        put(whole, path, copy.deepcopy(at(whole, chance.choice(places))))
    elif isinstance(holder, list):
        holder.insert(chance.randrange(len(holder) + 1), copy.deepcopy(old))
    elif kind == 8 and names:
        holder[chance.choice(names)] = holder.pop(path[-1])
    else:
        holder[chance.choice(names) if names else text(chance)] = value(chance)
    return whole


def mutated_often(chance: random.Random, whole: JSON, names: tuple[str, ...] = ()) -> JSON:
    """A copy with some things changed, mostly few."""
    for _ in range(chance.choice((1, 1, 1, 2, 2, 3, 6))):
        whole = mutated(chance, whole, names)
    return whole
