"""The people of Pennyfold talk, write letters and go for walks."""

from __future__ import annotations

import random

import world as w


def asked(rng: random.Random) -> tuple[str, str]:
    """Something that one person of a story wants to know, and what another one says."""
    place, person = rng.choice(w.PLACES), rng.choice(w.PEOPLE)
    animal, dish, task = rng.choice(w.ANIMALS), rng.choice(w.DISHES), rng.choice(w.TASKS)
    tool, (left, right) = rng.choice(w.TOOLS), rng.choice(w.OPPOSITES)
    one, he = w.article(animal.name), w.pronoun(person.she)
    the = f"the {place.name}"
    steps = " ".join(map(w.sentence, dish.steps))
    return rng.choice([
        (f"Do you know where {the} is?", f"{the.capitalize()} is {place.where}."),
        (f"How do I get to {the}?", f"It is {place.where}."),
        (f"When does {the} open?", f"It opens at {place.opens}."),
        (f"Whose is {the}?", f"{the.capitalize()} belongs to {place.keeper}. {place.note}"),
        (f"What do they have at {the}?", f"They have {place.offers} there."),
        (f"I need {place.offers}.", f"Go to {place.keeper}. {the.capitalize()} is {place.where}."),
        (f"What is {the} like?", f"{the.capitalize()} is {place.look}. {place.note}"),
        (f"Do you know {person.name}?", f"{person.name} is the {person.job}. {person.note}"),
        (f"What does {person.name} like?", f"{person.name} likes {person.likes}."),
        (f"Has {person.name} a pet?", f"Yes, {he} has {person.pet}."),
        (f"I hear {one}.", f"It {animal.sound} when it is happy."),
        (f"There is {one}!", f"It lives {animal.home}. {animal.note}"),
        (f"Can I feed the {animal.name}?", f"Yes, {animal.plural} eat {animal.eats}."),
        (f"What do {animal.plural} eat?", f"{animal.plural.capitalize()} eat {animal.eats}."),
        (f"Where do {animal.plural} live?", f"{one.capitalize()} lives {animal.home}."),
        (f"Look, {w.article(animal.young)}!", f"A young {animal.name}! {animal.note}"),
        (f"I want to make {dish.name}.", f"You need {w.listed(dish.needs)}. {steps}"),
        (f"How is {dish.name} made?", f"{steps} It takes {dish.time}."),
        (f"How do you {task.goal}?", " ".join(map(w.sentence, task.steps)) + f" {task.note}"),
        (f"I have to {task.goal}.", f"You need {task.needs}. {task.note}"),
        (f"Where is the {tool.name}?", f"The {tool.name} is kept {tool.kept}."),
        (f"I have to {tool.use}.", f"You need {w.article(tool.name)}. It is kept {tool.kept}."),
        (f"What is the opposite of {left}?", f"The opposite of {left} is {right}."),
    ])  # fmt: skip


def talk(rng: random.Random) -> str:
    """Two people talk in a story; the reader hears how questions sound."""
    (child, she), person = rng.choice(w.CHILDREN), rng.choice(w.PEOPLE)
    question, answer = asked(rng)
    day = f"{child} met {person.name} on a {rng.choice(w.WEATHER)} {rng.choice(w.DAYS)}."
    pause = rng.choice([
        f"{person.name} thought for a while and said:",
        f"{person.name} put down {'her' if person.she else 'his'} bag and smiled.",
        f"An assistant of {person.name} knew it:",
        f"{person.name} answered:",
    ])  # fmt: skip
    thanks = f" {child} said thank you and went {'her' if she else 'his'} way."
    return f'{day} "{question}" said {child}. {pause} "{answer}"' + thanks * rng.randint(0, 1)


def scene(rng: random.Random) -> str:
    """A page of a play: names, then what they say."""
    pair = [rng.choice(w.CHILDREN)[0], rng.choice(w.PEOPLE).name]
    place = rng.choice(w.PLACES)
    mark = rng.choice((": ", ":\n", " - "))
    lines = [f"{pair[0]} and {pair[1]} meet in front of the {place.name}."] * rng.randint(0, 1)
    for _ in range(rng.randint(1, 3)):
        question, answer = asked(rng)
        lines += [f"{pair[0]}{mark}{question}", f"{pair[1]}{mark}{answer}"]
    return "\n".join(lines)


REASONS = (
    ("it rains", "stay indoors and read", "wet shoes are no fun"),
    ("the soup is too hot", "wait a little", "it burns the tongue"),
    ("a goose is angry", "walk back slowly", "it only wants to guard its young"),
    ("the wind is strong", "leave the boat in the harbour", "the waves are large"),
    ("you find a lost thing", "bring it to the post office", "Mrs Bell will know whose it is"),
    ("the apples are ripe", "pick them in the afternoon", "they are dry then"),
    ("you do not know the way", "ask somebody", "everybody here is glad to help"),
    ("the bread is old", "fry it in butter", "good food should not be thrown away"),
    ("your hands are cold", "hold a cup of tea", "it warms them again"),
    ("the night is dark", "take a lantern", "you could fall over a stone"),
    ("you are tired", "go to bed early", "tomorrow will be a better day"),
    ("a friend is sad", "listen and say something nice", "kind words help very much"),
)


def advice(rng: random.Random) -> str:
    (first, second), who = rng.sample(REASONS, 2), rng.choice(w.PEOPLE)
    return rng.choice([
        f"If {first[0]}, you should {first[1]}, because {first[2]}.",
        f"Please {first[1]} when {first[0]}. Remember that {first[2]}.",
        f"Why should you {first[1]} if {first[0]}? Because {first[2]}.",
        f'{who.name} always says: "If {first[0]}, {first[1]}." And {first[2]}.',
    ]) + f" When {second[0]}, it is right to {second[1]}."  # fmt: skip


def letter(rng: random.Random) -> str:
    writer, reader = rng.sample(w.PEOPLE, 2)
    place = next(place for place in w.PLACES if place.keeper == writer.name)
    dish, day = rng.choice(w.DISHES), rng.choice(w.DAYS)
    pet = writer.pet.removeprefix("a ").removeprefix("an ")
    return " ".join([
        f"Dear {reader.name},",
        rng.choice([
            f"please come to the {place.name} on {day}.",
            f"could you visit me on {day}? You know the {place.name} {place.where}.",
            f"many thanks for the nice {rng.choice(w.COUNTED)} that you gave me on {day}.",
        ]),
        rng.choice([
            f"I will make {dish.name} for us. It only takes {dish.time}.",
            f"My {pet} would like to see you again.",
            f"I found a very old book about {rng.choice(w.ANIMALS).plural}, and some of these "
            "stories are wonderful.",
            f"There is too much work here, and I could use some help with the {place.offers}.",
        ]),
        rng.choice(["With love,", "Your friend,", "Yours,"]),
        writer.name,
    ])  # fmt: skip


def kinds(rng: random.Random) -> str:
    """Which things are animals, foods, tools or people."""
    groups = (
        ("animal", [animal.name for animal in w.ANIMALS]),
        ("food", [need for dish in w.DISHES for need in dish.needs if " " not in need]),
        ("tool", [tool.name for tool in w.TOOLS]),
        ("place", [place.name for place in w.PLACES]),
    )
    (kind, names), (other, others) = rng.sample(groups, 2)
    a, b, c = rng.sample(names, 3)
    d = rng.choice(others)
    return rng.choice([
        f"The words {a}, {b} and {c} belong together. The word {d} does not belong to them, "
        f"because it is not {w.article(kind)}.",
        f"Which word is not {w.article(kind)}? It is {d}, for {d} is {w.article(other)}.",
        f"Here are three words for {w.article(kind)}: {a}, {b}, {c}.",
    ])  # fmt: skip


def story(rng: random.Random) -> str:
    """Somebody walks through the town and meets an animal."""
    hero = rng.choice(w.PEOPLE)
    he = w.pronoun(hero.she).capitalize()
    place = rng.choice([place for place in w.PLACES if place.keeper != hero.name])
    animal, dish = rng.choice(w.ANIMALS), rng.choice(w.DISHES)
    day = f"{rng.choice(w.WEATHER)} {rng.choice(w.DAYS)}"
    lines = [
        f"On a {day} {hero.name} walked to the {place.name}.",
        f"{he} wanted {place.offers}.",
        rng.choice([
            f"On the way {he.lower()} saw {w.article(animal.name)}.",
            f"There was {w.article(animal.name)} in the street.",
            f"{w.article(animal.name).capitalize()} sat beside the road.",
        ]),
        rng.choice([
            f"It was looking for {animal.eats}.",
            f"It had lost its {animal.young}.",
            f"It lived {animal.home}.",
        ]),
        rng.choice([
            f'"Come with me," said {hero.name}.',
            f"{hero.name} stopped and helped it.",
            f"{hero.name} gave it something to eat.",
        ]),
        rng.choice([
            f"{place.keeper} laughed and opened the door.",
            f"{place.keeper} was waiting there.",
            f"The {place.name} was {place.look}.",
        ]),
        rng.choice([
            f"In the evening they all ate {dish.name}.",
            f"Then {hero.name} went home and made {dish.name}.",
            f"{he} was tired but glad.",
        ]),
    ]  # fmt: skip
    dropped = rng.randrange(1, 6)
    return " ".join(line for at, line in enumerate(lines) if at != dropped or rng.random() < 0.5)
