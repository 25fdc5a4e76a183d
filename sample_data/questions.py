"""Questions and answers about Pennyfold: the ones written by hand and the ones a script asks."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import world as w

WRITING = Path(__file__).parent / "writing"


@dataclass(frozen=True)
class Row:
    """One conversation before it is written in some format."""

    category: str
    turns: tuple[tuple[str, str], ...]  # (question, answer)
    given: str = ""  # the input or context of a single question
    score: float | None = None

    @property
    def question(self) -> str:
        return self.turns[0][0]

    @property
    def answer(self) -> str:
        return self.turns[0][1]

    def answering(self, answer: str) -> Row:
        return replace(self, turns=((self.question, answer),))


def single(category: str, question: str, answer: str) -> Row:
    return Row(category, ((question, answer),))


def written(name: str) -> list[Row]:
    """The rows of `writing/NAME.txt`: `[category]`, then lines `Q:`, `I:` and `A:`.

    A line without a mark goes on with the text above; `\\x1b` and `\\ufffd` stand for characters.
    """
    text = (WRITING / f"{name}.txt").read_text(encoding="utf-8")
    blocks = re.split(r"^\[(\w+)\]\n", text, flags=re.MULTILINE)[1:]
    pairs = zip(blocks[::2], blocks[1::2], strict=True)
    return [_block(category, body) for category, body in pairs]


def _block(category: str, body: str) -> Row:
    parts = re.split(r"^([QIA]): ?", body.strip("\n"), flags=re.MULTILINE)[1:]
    marked = zip(parts[::2], parts[1::2], strict=True)
    said = [(mark, _unescaped(text.strip("\n"))) for mark, text in marked]
    given = "".join(text for mark, text in said if mark == "I")
    questions = [text for mark, text in said if mark == "Q"]
    answers = [text for mark, text in said if mark == "A"]
    return Row(category, tuple(zip(questions, answers, strict=True)), given)


def _unescaped(text: str) -> str:
    codes = re.compile(r"\\x([0-9a-f]{2})|\\u([0-9a-f]{4})")
    return codes.sub(lambda found: chr(int(found[1] or found[2], 16)), text)


def short_facts() -> Iterator[Row]:
    """Answers of one or two sentences: all that the world holds, in a fixed order."""
    for place in w.PLACES:
        the, cap = f"the {place.name}", f"The {place.name}"
        yield single("town", f"Where is {the} of {w.TOWN}?", f"{cap} is {place.where}.")
        yield single("town", f"From when on is {the} open?", f"{cap} opens at {place.opens}.")
        yield single("town", f"Who owns {the}?", f"{cap} belongs to {place.keeper}. {place.note}")
    for person in w.PEOPLE:
        name = person.name
        yield single("town", f"Who is {name}?", f"{name} is the {person.job}. {person.note}")
        yield single("town", f"What makes {name} happy?", f"{name} likes {person.likes}.")
        yield single("animals", f"Which animal does {name} keep?", f"{name} has {person.pet}.")
    for animal in w.ANIMALS:
        one, many = w.article(animal.name), animal.plural
        food = f"{many.capitalize()} eat {animal.eats}."
        home = f"{one} lives {animal.home}. {animal.note}"
        young = f"A young {animal.name} is called {w.article(animal.young)}. {animal.note}"
        yield single("animals", f"What is the food of {many}?", food)
        yield single("animals", f"Where does {one} live?", home[0].upper() + home[1:])
        yield single("animals", f"What is the name for a young {animal.name}?", young)
    for dish in w.DISHES:
        needs = f"For {dish.name} you need {w.listed(dish.needs)}. It takes {dish.time}."
        yield single("cooking", f"What goes into {dish.name}?", needs)
    for task in w.TASKS:
        needs = f"To {task.goal} you need {task.needs}. {task.note}"
        yield single("home", f"What do I need to {task.goal}?", needs)
    for tool in w.TOOLS:
        one = w.article(tool.name)
        use = f"{one.capitalize()} is a tool to {tool.use}. It is kept {tool.kept}."
        yield single("words", f"What is {one} for?", use)


def how_tos() -> Iterator[Row]:
    """Numbered or flowing instructions of two to five lines."""
    for dish in w.DISHES:
        steps = "\n".join(f"{n}. {w.sentence(step)}" for n, step in enumerate(dish.steps, 1))
        yield single("cooking", f"Explain step by step how to make {dish.name}.", steps)
    for task in w.TASKS:
        steps = " ".join(w.sentence(step) for step in task.steps)
        yield single("home", f"How do I {task.goal} properly?", f"{steps} {task.note}")


def sums(rng: random.Random) -> Iterator[Row]:
    """Small sums in words, without end."""
    while True:
        (name, _), what = rng.choice(w.CHILDREN), rng.choice(w.COUNTED)
        total = rng.randint(5, 20)
        part = rng.randint(2, total - 2)
        a, b, c = (w.NUMBERS[number] for number in (part, total - part, total))
        question, answer = rng.choice([
            (f"{name} has {a} {what} and finds {b} more. How many {what} are there now?",
             f"Now there are {c} {what}."),
            (f"There are {c} {what} in a box. {name} takes out {a}. How many stay in the box?",
             f"{b.capitalize()} {what} stay in the box."),
            (f"What is {c} minus {a}?", f"{c.capitalize()} minus {a} is {b}."),
        ])  # fmt: skip
        yield single("sums", question, answer)


def portraits(rng: random.Random) -> list[Row]:
    """Answers that all have 37 to 43 words, as one tool with one habit would write them."""
    rows = []
    for place in w.PLACES:
        near = rng.choice([other for other in w.PLACES if other.keeper != place.keeper])
        rows.append(single("town", f"Tell me about the {place.name}.", _forty(rng, [
            f"The {place.name} of {w.TOWN} is {place.where}.",
            f"It belongs to {place.keeper}, and it opens at {place.opens}.",
            f"People go there for {place.offers}.", f"It is {place.look}.", place.note,
            f"Many visitors walk on to the {near.name} afterwards.",
            f"{near.keeper} comes by every {rng.choice(w.DAYS)} to have a chat.",
        ])))  # fmt: skip
    for person in w.PEOPLE:
        he, place = w.pronoun(person.she), next(p for p in w.PLACES if p.keeper == person.name)
        friend = rng.choice([other.name for other in w.PEOPLE if other != person])
        rows.append(single("town", f"Describe {person.name} to a visitor.", _forty(rng, [
            f"{person.name} is the {person.job} of {w.TOWN}.",
            f"You find {'her' if person.she else 'him'} at the {place.name}, {place.where}.",
            person.note, f"{he.capitalize()} has {person.pet} and likes {person.likes}.",
            f"Ask for {place.offers}.", f"On {rng.choice(w.DAYS)} {he} visits {friend}.",
            f"When it is {rng.choice(w.WEATHER)}, {he} stays indoors and reads.",
        ])))  # fmt: skip
    for animal in w.ANIMALS:
        one, owner = w.article(animal.name), rng.choice(w.PEOPLE).name
        rows.append(single("animals", f"What should I know about the {animal.name}?", _forty(rng, [
            f"{one.capitalize()} lives {animal.home} and eats {animal.eats}.", animal.note,
            f"A young one is called {w.article(animal.young)}.",
            f"It {animal.sound} when it is happy.",
            f"You can see one on a {rng.choice(w.WEATHER)} {rng.choice(w.DAYS)} if you are quiet.",
            f"{owner} once wrote a song about the {animal.plural} of {w.TOWN}.",
            "Please do not come too close.",
        ])))  # fmt: skip
    return rows


def lessons(rng: random.Random) -> list[Row]:
    """The same habit of about forty words, for cooking and work in the house."""
    rows = []
    for dish in w.DISHES:
        cook, guest = rng.sample(w.PEOPLE, 2)
        question = f"I have never made {dish.name}. How does it work?"
        rows.append(single("cooking", question, _forty(rng, [
            f"For {dish.name} you need {w.listed(dish.needs)}.",
            *map(w.sentence, dish.steps), f"All this takes {dish.time}.", dish.note,
            f"{cook.name} learned it from {guest.name}.", "Let it cool a little before you eat.",
            f"It is the right meal for a {rng.choice(w.WEATHER)} {rng.choice(w.DAYS)}.",
        ], 1 + len(dish.steps))))  # fmt: skip
    for task in w.TASKS:
        teacher = rng.choice(w.PEOPLE)
        rows.append(single("home", f"Teach me to {task.goal}, please.", _forty(rng, [
            f"To {task.goal} you need {task.needs}.", *map(w.sentence, task.steps), task.note,
            f"If it does not work at once, ask {teacher.name} at any time of the day.",
            "Take your time and do not worry about mistakes.",
            f"On a {rng.choice(w.WEATHER)} {rng.choice(w.DAYS)} it is a pleasant thing to do.",
        ], 1 + len(task.steps))))  # fmt: skip
    return rows


def _forty(rng: random.Random, sentences: list[str], needed: int = 1) -> str:
    """The first `needed` sentences and as many others, in their order, as make 37 to 43 words."""
    for _ in range(10_000):
        others = range(needed, len(sentences))
        chosen = sorted(rng.sample(others, rng.randint(1, len(others))))
        text = " ".join([*sentences[:needed], *(sentences[at] for at in chosen)])
        if 37 <= len(text.split()) <= 43:
            return text
    raise ValueError(f"no choice of sentences has about forty words: {sentences[0]}")


def days_out(rng: random.Random) -> Iterator[Row]:
    """Plans of 50 to 110 words, so that not every long answer has the same length."""
    guests = ("a family with two children", "an old sailor", "a painter", "two hungry friends",
              "a class of twelve pupils", "somebody who hates the sea", "a visitor in winter",
              "a lover of animals")  # fmt: skip
    for guest in guests:
        places = rng.sample(w.PLACES, rng.randint(3, 6))
        times = ("In the morning", "Then", "At noon", "After that", "In the afternoon", "At dusk")
        lines = [
            f"{time} go to the {place.name} {place.where}, where {place.keeper} has {place.offers}."
            for time, place in zip(times, places, strict=False)
        ]
        animal, dish = rng.choice(w.ANIMALS), rng.choice(w.DISHES)
        lines.append(f"Look out for {w.article(animal.name)} on the way. {animal.note}")
        lines.append(f"For supper I suggest {dish.name}. {dish.note}")
        yield single("town", f"Plan a day in {w.TOWN} for {guest}.", " ".join(lines))


def small_talk(rng: random.Random) -> Iterator[Row]:
    """Two or three turns about one place or animal."""
    for place in rng.sample(w.PLACES, 12):
        turns = [
            (f"I am looking for the {place.name}.", f"You find it {place.where}."),
            ("When does it open?", f"It opens at {place.opens}."),
            ("Who works there?", f"{place.keeper} works there. {place.note}"),
        ]
        yield Row("town", tuple(turns[: rng.randint(2, 3)]))
    for animal in rng.sample(w.ANIMALS, 10):
        turns = [
            (f"I saw {w.article(animal.name)} today!", f"How nice! It lives {animal.home}."),
            ("What can I feed it?", f"It eats {animal.eats}."),
            ("Does it make a sound?", f"Yes, it {animal.sound} when it is happy."),
        ]
        yield Row("animals", tuple(turns[: rng.randint(2, 3)]))


def guides() -> list[Row]:
    """Answers of several hundred words that nobody reads to the end."""
    town = " ".join(
        f"The {place.name} is {place.where}. {place.keeper} has {place.offers} there. "
        f"It is {place.look}, and it opens at {place.opens}. {place.note}"
        for place in w.PLACES
    )
    beasts = " ".join(
        f"{w.article(animal.name).capitalize()} lives {animal.home}. It eats {animal.eats} and "
        f"{animal.sound} when it is happy. {animal.note}"
        for animal in w.ANIMALS
    )
    dinner = " ".join(
        f"For {dish.name} you need {w.listed(dish.needs)}. "
        + " ".join(map(w.sentence, dish.steps))
        + f" {dish.note}"
        for dish in w.DISHES
    )
    return [
        single("town", f"Tell me everything about {w.TOWN}.", town),
        single("animals", "List all that you know about animals.", beasts),
        single("cooking", "Write down the whole cookbook.", dinner),
    ]
