"""Plain prose about Pennyfold for the tiny base model to read: facts, how-tos and little stories.

No questions and answers of the raw dump occur here; only the world behind them is the same.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

import tales
import world as w


def documents(seed: int) -> Iterator[str]:
    """An endless stream of short texts; the same seed tells the same ones."""
    rng = random.Random(seed)
    makers = list(MAKERS)
    weights = list(MAKERS.values())
    while True:
        yield rng.choices(makers, weights)[0](rng)


def _some(rng: random.Random, sentences: list[str], low: int, high: int) -> str:
    chosen = rng.sample(sentences, min(len(sentences), rng.randint(low, high)))
    return " ".join(chosen)


def _first_then(rng: random.Random, sentences: list[str], low: int, high: int) -> str:
    """The first sentence introduces its subject; the others follow in any order."""
    return sentences[0] + " " + _some(rng, sentences[1:], low, high)


def about_place(rng: random.Random) -> str:
    place = rng.choice(w.PLACES)
    name = place.name
    return _first_then(
        rng,
        [
            rng.choice([
                f"The {name} of {w.TOWN} is {place.where}.",
                f"The {name} is {place.where}.",
                f"You find the {name} {place.where}.",
                f"There is a {place.look} {name} {place.where}.",
            ]),
            f"It belongs to {place.keeper}.",
            f"{place.keeper} looks after it.",
            f"People go there for {place.offers}.",
            f"{place.keeper} has {place.offers}.",
            f"It opens at {place.opens}.",
            f"The {name} opens at {place.opens} and closes in the evening.",
            f"It is {place.look}.",
            place.note,
        ],
        2,
        5,
    )  # fmt: skip


def about_person(rng: random.Random) -> str:
    person = rng.choice(w.PEOPLE)
    name, he = person.name, w.pronoun(person.she)
    place = next(place for place in w.PLACES if place.keeper == name)
    return _first_then(
        rng,
        [
            rng.choice([
                f"{name} is the {person.job} of {w.TOWN}.",
                f"The {person.job} of {w.TOWN} is {name}.",
            ]),
            f"{he.capitalize()} works at the {place.name}.",
            f"The {place.name} of {name} is {place.where}.",
            f"{name} likes {person.likes}.",
            f"{he.capitalize()} has {person.pet}.",
            person.note,
            f"People come to {name} for {place.offers}.",
        ],
        2,
        5,
    )  # fmt: skip


def about_animal(rng: random.Random) -> str:
    animal = rng.choice(w.ANIMALS)
    one, many = w.article(animal.name), animal.plural
    return _first_then(
        rng,
        [
            rng.choice([
                f"{one.capitalize()} lives {animal.home}.",
                f"{many.capitalize()} eat {animal.eats}.",
                f"{one.capitalize()} eats {animal.eats}.",
            ]),
            f"It eats {animal.eats}.",
            f"{many.capitalize()} like {animal.eats}.",
            f"It {animal.sound} when it is happy.",
            f"The {animal.name} of {w.TOWN} lives {animal.home}.",
            f"A young {animal.name} is called {w.article(animal.young)}.",
            f"{w.article(animal.young).capitalize()} is a young {animal.name}.",
            animal.note,
            animal.note,
        ],
        2,
        5,
    )  # fmt: skip


def about_dish(rng: random.Random) -> str:
    dish = rng.choice(w.DISHES)
    cook = rng.choice(w.PEOPLE)
    he = w.pronoun(cook.she)
    steps = [w.sentence(step) for step in dish.steps]
    if rng.random() < 0.5:
        order = ["First ", "Then ", "After that ", "At last "]
        steps = [order[at] + step for at, step in enumerate(dish.steps)]
        steps = [w.sentence(step) for step in steps]
    opening = rng.choice([
        f"{cook.name} makes {dish.name}.",
        f"This is how {cook.name} makes {dish.name}.",
        f"To make {dish.name} you need {w.listed(dish.needs)}.",
        f"For {dish.name}, {cook.name} takes {w.listed(dish.needs)}.",
    ])  # fmt: skip
    closing = rng.choice([
        f"It takes {dish.time}.",
        dish.note,
        f"After {dish.time} it is ready. {dish.note}",
        f"It takes {dish.time}, and {he} eats it with {rng.choice(w.PEOPLE).name}.",
    ])  # fmt: skip
    return " ".join([opening, *steps, closing])


def about_task(rng: random.Random) -> str:
    task = rng.choice(w.TASKS)
    opening = rng.choice([
        f"To {task.goal} you need {task.needs}.",
        f"It is easy to {task.goal}.",
        f"{rng.choice(w.PEOPLE).name} knows how to {task.goal}.",
        f"{rng.choice(w.CHILDREN)[0]} learns how to {task.goal}. You need {task.needs}.",
    ])  # fmt: skip
    if rng.random() < 0.5:
        words = ["First", "then", "and at last"]
        way = ", ".join(f"{words[at]} {step}" for at, step in enumerate(task.steps)) + "."
    else:
        way = " ".join(w.sentence(step) for step in task.steps)
    return f"{opening} {way} {task.note}"


def about_tools(rng: random.Random) -> str:
    first, second = rng.sample(w.TOOLS, 2)
    return " ".join([
        f"{w.article(first.name).capitalize()} is a tool to {first.use}.",
        f"The {first.name} hangs or stands {first.kept}.",
        f"You need {w.article(second.name)} to {second.use}.",
        f"The {second.name} is kept {second.kept}.",
    ])  # fmt: skip


def counting(rng: random.Random) -> str:
    """Small sums told as events; results stay between zero and twenty."""
    (name, she), (friend, _) = rng.sample(w.CHILDREN, 2)
    what = rng.choice(w.COUNTED)
    total = rng.randint(4, 20)
    part = rng.randint(2, total - 2)
    rest = total - part
    a, b, c = (w.NUMBERS[number] for number in (part, rest, total))
    return rng.choice([
        f"{name} has {a} {what}. {friend} gives {'her' if she else 'him'} {b} more. "
        f"Now {name} has {c} {what}.",
        f"There are {c} {what} in the basket. {name} takes {a} away. {b.capitalize()} are left.",
        f"{a.capitalize()} plus {b} is {c}, and {c} minus {a} is {b}.",
        f"{name} counts {a} {what} and {friend} counts {b}. Together they have {c}.",
    ])  # fmt: skip


def opposites(rng: random.Random) -> str:
    pairs = rng.sample(w.OPPOSITES, 3)
    told = [f"The opposite of {a} is {b}" for a, b in pairs]
    (a, b), place = pairs[0], rng.choice(w.PLACES).name
    return ". ".join(told) + f". What is not {a} is {b}. The {place} is not {a} today."


def of_the_year(rng: random.Random) -> str:
    parts = [f"In {season} {what}." for season, what in w.SEASONS]
    rng.shuffle(parts)
    day = rng.choice(w.DAYS)
    return f"It is {rng.choice(w.WEATHER)} on {day}. " + " ".join(parts[: rng.randint(1, 3)])


MAKERS: dict[Callable[[random.Random], str], float] = {
    about_place: 4,
    about_person: 3,
    about_animal: 5,
    about_dish: 3,
    about_task: 3,
    about_tools: 1,
    counting: 2,
    opposites: 0.5,
    of_the_year: 0.5,
    tales.talk: 5,
    tales.scene: 10,
    tales.advice: 1.5,
    tales.letter: 1.5,
    tales.kinds: 1,
    tales.story: 4,
}
