"""The small made-up world that all sample text is about: the town of Pennyfold.

Facts only. `make_raw.py` asks about them, `plain_text.py` tells them, so that what the tiny base
model has read and what the questions want agree.
"""

from __future__ import annotations

from typing import NamedTuple

TOWN = "Pennyfold"
RIVER = "the river Wend"


class Place(NamedTuple):
    name: str  # goes after "the"
    where: str
    keeper: str
    offers: str  # what people get there
    opens: str
    look: str
    note: str  # one full sentence


class Person(NamedTuple):
    name: str
    she: bool
    job: str  # goes after "the"
    likes: str
    pet: str
    note: str  # one full sentence that starts with the pronoun


class Animal(NamedTuple):
    name: str
    plural: str
    eats: str
    home: str  # goes after "it lives"
    sound: str  # goes after "it"
    young: str
    note: str  # one full sentence


class Dish(NamedTuple):
    name: str
    needs: tuple[str, ...]
    steps: tuple[str, ...]  # imperative, lower case, no full stop
    time: str
    note: str  # one full sentence


class Task(NamedTuple):
    goal: str  # goes after "to"
    needs: str
    steps: tuple[str, ...]  # imperative, lower case, no full stop
    note: str  # one full sentence


class Tool(NamedTuple):
    name: str
    use: str  # goes after "to"
    kept: str


PLACES = (
    Place("bakery", "on Mill Lane, next to the well", "Mara", "bread, buns and plum cakes",
          "six in the morning", "warm and yellow", "The smell of fresh bread reaches the bridge."),
    Place("library", "on Church Row, behind the old church", "Mr Finch", "books and old maps",
          "nine in the morning", "quiet and cool", "Children may take home three books a week."),
    Place("school", "at the top of Hill Road", "Miss Dale", "lessons in reading and sums",
          "eight in the morning", "bright and noisy", "Its bell can be heard in the harbour."),
    Place("harbour office", "at the end of Harbour Street", "Captain Ross", "news about the boats",
          "seven in the morning", "small and windy", "A blue flag means that the sea is calm."),
    Place("mill", "on Mill Lane, by the river", "Tom", "flour and oats",
          "seven in the morning", "tall and dusty", "The water turns its big wheel day and night."),
    Place("smithy", "halfway up Hill Road", "Greta", "nails, hooks and horseshoes",
          "eight in the morning", "hot and dark", "Sparks fly when the hammer comes down."),
    Place("post office", "on Market Square, beside the fountain", "Mrs Bell", "stamps and parcels",
          "nine in the morning", "red and narrow", "The post cart leaves at three o'clock."),
    Place("tea room", "on Harbour Street, above the fish shop", "Ivy", "tea, cocoa and toast",
          "ten in the morning", "cosy and green", "The best table looks out over the boats."),
    Place("fish shop", "on Harbour Street, near the steps", "Ned", "fresh fish and crabs",
          "five in the morning", "cold and blue", "A fat cat always waits at the door."),
    Place("dairy", "at the start of Orchard Path", "Hugo", "milk, butter and cheese",
          "six in the morning", "clean and white", "The cheese rests in a cellar for two months."),
    Place("orchard", "at the end of Orchard Path", "Ada", "apples, pears and plums",
          "eight in the morning", "green and sunny", "Everybody helps with the autumn harvest."),
    Place("lighthouse", "on the north rock", "Jonas", "a fine view of the sea",
          "noon", "tall and striped", "Its lamp turns all night long."),
    Place("clinic", "on Church Row, across from the library", "Doctor Lind",
          "bandages and good advice", "nine in the morning", "calm and clean",
          "A bowl of mint sweets stands on the desk."),
    Place("bicycle shop", "on Market Square, under the clock", "Pim", "tyres, bells and lamps",
          "ten in the morning", "crowded and cheerful", "A golden wheel hangs over the door."),
    Place("town garden", "between the church and the river", "Rosa", "seeds and herbs",
          "eight in the morning", "green and quiet", "An old pear tree grows in the middle."),
    Place("station", "at the foot of Hill Road", "Otto", "tickets to the city",
          "five in the morning", "old and grey", "Two trains a day leave for the city."),
)  # fmt: skip

PEOPLE = (
    Person("Mara", True, "baker", "plum cakes", "a white hen", "She gets up at four every day."),
    Person("Mr Finch", False, "librarian", "old maps", "a grey cat", "He reads every book twice."),
    Person("Miss Dale", True, "teacher", "long walks", "a small dog", "She sings about sums."),
    Person("Captain Ross", False, "harbour master", "strong tea", "a green parrot",
           "He can tell the weather from the clouds."),
    Person("Tom", False, "miller", "apple pie", "a brown donkey", "He sings when the wheel turns."),
    Person("Greta", True, "smith", "thick soup", "a black horse", "She can bend a nail by hand."),
    Person("Mrs Bell", True, "postwoman", "red flowers", "two geese", "She never loses a letter."),
    Person("Ivy", True, "cook", "cocoa with milk", "a striped cat", "She paints the cups herself."),
    Person("Ned", False, "fisherman", "grilled trout", "a fat cat", "He mends his nets on Sunday."),
    Person("Hugo", False, "dairyman", "soft cheese", "nine cows", "He gives every cow a name."),
    Person("Ada", True, "fruit grower", "sweet pears", "a hive of bees", "She wears a straw hat."),
    Person("Jonas", False, "lighthouse keeper", "quiet nights", "an old owl",
           "He climbs ninety steps to the lamp."),
    Person("Doctor Lind", True, "doctor", "mint tea", "a tame rabbit", "She rides a red bicycle."),
    Person("Pim", False, "bicycle mender", "loud bells", "a brown mouse",
           "He can mend a tyre in ten minutes."),
    Person("Rosa", True, "gardener", "the smell of rain", "a hedgehog", "She talks to her beans."),
    Person("Otto", False, "station master", "old clocks", "a clever crow", "He is never late."),
)  # fmt: skip

ANIMALS = (
    Animal("hen", "hens", "corn and worms", "in a wooden coop", "clucks", "chick",
           "It lays an egg almost every day."),
    Animal("duck", "ducks", "weeds and snails", "in the reeds by the river", "quacks", "duckling",
           "Its feathers keep the water out."),
    Animal("goose", "geese", "grass and grain", "in the yard of the post office", "honks",
           "gosling", "It guards the gate like a dog."),
    Animal("goat", "goats", "leaves and thorns", "on the rocky hill", "bleats", "kid",
           "It can climb where no cow would go."),
    Animal("sheep", "sheep", "short grass", "on the upper meadow", "bleats", "lamb",
           "Its wool is cut once a year."),
    Animal("cow", "cows", "grass and hay", "in the barn of the dairy", "moos", "calf",
           "It gives milk twice a day."),
    Animal("horse", "horses", "oats and hay", "in a dry stable", "neighs", "foal",
           "It needs new shoes every eight weeks."),
    Animal("donkey", "donkeys", "straw and thistles", "in the shed beside the mill", "brays",
           "foal", "It carries sacks of flour up the hill."),
    Animal("pig", "pigs", "roots and apple peel", "in a muddy sty", "grunts", "piglet",
           "It rolls in mud to stay cool."),
    Animal("cat", "cats", "fish and mice", "at the fish shop", "purrs", "kitten",
           "It sleeps for most of the day."),
    Animal("dog", "dogs", "meat and biscuits", "in a basket near the stove", "barks", "puppy",
           "It can smell a friend from far away."),
    Animal("owl", "owls", "mice and beetles", "in the tower of the church", "hoots", "owlet",
           "It hunts at night without a sound."),
    Animal("fox", "foxes", "berries and mice", "in a den in the wood", "yaps", "cub",
           "It visits the hens when nobody looks."),
    Animal("hedgehog", "hedgehogs", "beetles and slugs", "in a pile of leaves", "snuffles",
           "hoglet", "It sleeps through the whole winter."),
    Animal("bee", "bees", "nectar and pollen", "in a hive in the orchard", "buzzes", "larva",
           "It tells its friends about flowers with a dance."),
    Animal("rabbit", "rabbits", "clover and carrots", "in a burrow in the field", "thumps", "kit",
           "It warns the others with its back feet."),
    Animal("seal", "seals", "herring and squid", "on the flat rocks by the sea", "barks", "pup",
           "It can stay under water for half an hour."),
    Animal("gull", "gulls", "fish and old bread", "on the roofs of the harbour", "screams", "chick",
           "It steals bread from careless people."),
    Animal("frog", "frogs", "flies and gnats", "in the pond in the garden", "croaks", "tadpole",
           "It catches flies with a sticky tongue."),
    Animal("mouse", "mice", "seeds and crumbs", "in a hole in the wall", "squeaks", "pup",
           "It can slip through a gap as wide as a finger."),
    Animal("bat", "bats", "moths and gnats", "under the roof of the barn", "clicks", "pup",
           "It finds its way in the dark by ear."),
    Animal("squirrel", "squirrels", "nuts and acorns", "in a nest in the oak", "chatters",
           "kit", "It forgets where half of its nuts are."),
    Animal("crow", "crows", "seeds and insects", "in the tall trees by the station", "caws",
           "chick", "It remembers the face of a friend for years."),
    Animal("trout", "trout", "insects and small fish", "in the cold river", "splashes", "fry",
           "It hides under stones in the hot hours."),
)  # fmt: skip

DISHES = (
    Dish("porridge", ("oats", "milk", "salt"),
         ("put the oats and the milk in a pot", "stir over a low fire", "add a pinch of salt"),
         "ten minutes", "Honey makes it sweet."),
    Dish("pancakes", ("flour", "two eggs", "milk"),
         ("mix the flour, the eggs and the milk", "let the batter rest",
          "fry thin cakes in hot butter"), "half an hour", "The first one is always a bit odd."),
    Dish("vegetable soup", ("carrots", "leeks", "potatoes"),
         ("cut the vegetables into small pieces", "cover them with water",
          "cook them until they are soft"), "forty minutes", "It tastes even better the next day."),
    Dish("apple pie", ("apples", "flour", "butter", "sugar"),
         ("rub the butter into the flour", "line a dish with the dough",
          "fill it with sliced apples and sugar", "bake it until the top is brown"),
         "one hour", "Tom likes it with cream."),
    Dish("flatbread", ("flour", "water", "salt"),
         ("knead the flour with water and salt", "roll out thin rounds", "bake them in a dry pan"),
         "twenty minutes", "It is best while it is warm."),
    Dish("cocoa", ("milk", "cocoa powder", "sugar"),
         ("warm the milk slowly", "whisk in the cocoa powder", "sweeten it with sugar"),
         "five minutes", "Ivy serves it in painted cups."),
    Dish("fish stew", ("white fish", "onions", "tomatoes"),
         ("fry the onions until they are golden", "add the tomatoes and some water",
          "lay the fish on top", "let it simmer gently"),
         "half an hour", "Ned eats it with a slice of rye bread."),
    Dish("an omelette", ("three eggs", "butter", "herbs"),
         ("beat the eggs with the herbs", "melt the butter in a pan",
          "pour in the eggs and fold them over"), "five minutes", "Cheese may go in as well."),
    Dish("plum jam", ("plums", "sugar", "lemon juice"),
         ("take the stones out of the plums", "boil them with the sugar",
          "stir in the lemon juice", "fill the jam into clean jars"),
         "one hour", "A full jar lasts through the winter."),
    Dish("rice pudding", ("rice", "milk", "cinnamon"),
         ("bring the milk to the boil", "add the rice and stir often",
          "dust it with cinnamon"), "forty minutes", "Children ask for the skin on top."),
    Dish("mashed potatoes", ("potatoes", "milk", "butter"),
         ("boil the potatoes until they are soft", "pour the water away",
          "mash them with milk and butter"), "half an hour", "A little nutmeg is welcome."),
    Dish("baked apples", ("apples", "nuts", "honey"),
         ("cut out the cores of the apples", "fill them with nuts and honey",
          "bake them until the skin cracks"), "half an hour", "The kitchen smells like winter."),
    Dish("bean salad", ("white beans", "an onion", "oil"),
         ("rinse the beans", "chop the onion finely", "mix both with oil and salt"),
         "ten minutes", "It travels well in a jar."),
    Dish("herb butter", ("butter", "parsley", "salt"),
         ("let the butter grow soft", "chop the parsley", "mix both with a pinch of salt"),
         "ten minutes", "It is lovely on warm bread."),
)  # fmt: skip

TASKS = (
    Task("sew on a button", "a needle and strong thread",
         ("thread the needle", "pass it four times through the button",
          "tie a small knot at the back"), "Match the colour of the thread to the cloth."),
    Task("wash a wool jumper", "cool water and mild soap",
         ("fill a bowl with cool water", "press the jumper gently in the soap",
          "dry it flat on a towel"), "Hot water would make it shrink."),
    Task("light the stove", "dry sticks and a match",
         ("open the air flap", "lay small sticks under a log", "light the sticks from below"),
         "Wet wood gives nothing but smoke."),
    Task("plant beans", "seeds and a watering can",
         ("loosen the soil", "press each seed two fingers deep", "water the row"),
         "Beans do not like frost."),
    Task("mend a flat tyre", "a patch and some glue",
         ("take out the tube", "find the hole under water", "glue the patch over it"),
         "Pim lets the glue dry for five minutes."),
    Task("polish shoes", "a brush and a tin of polish",
         ("brush off the dust", "rub in a little polish", "shine them with a soft cloth"),
         "Old newspaper inside keeps the shape."),
    Task("wrap a parcel", "brown paper and string",
         ("lay the box in the middle of the paper", "fold the sides over it",
          "tie it with string"), "Write the address before you tie the knot."),
    Task("clean a window", "warm water and a rag",
         ("wipe off the dust", "wash the glass from top to bottom", "dry it with paper"),
         "A cloudy day leaves fewer streaks."),
    Task("dry herbs", "string and a dark corner",
         ("cut the herbs in the morning", "tie them in small bunches",
          "hang them upside down"), "After two weeks they are ready."),
    Task("store apples", "a cool cellar and some straw",
         ("choose apples without spots", "lay them in straw so that they do not touch",
          "look at them every week"), "One bad apple spoils the rest."),
    Task("sharpen a knife", "a wet stone",
         ("hold the blade at a low angle", "draw it along the stone", "turn it and repeat"),
         "Keep your fingers away from the edge."),
    Task("write a letter", "paper and a pen",
         ("begin with the date and a greeting", "say what you want to say",
          "sign your name at the end"), "Mrs Bell sells the stamps."),
    Task("catch the morning train", "a ticket and a watch",
         ("pack your bag the night before", "leave home at five", "wait near the clock"),
         "Otto never holds the train."),
    Task("fly a kite", "a long string and an open field",
         ("stand with your back to the wind", "let out the string slowly",
          "pull when the kite sinks"), "Stay away from trees."),
)  # fmt: skip

TOOLS = (
    Tool("hammer", "drive nails", "on the wall of the smithy"),
    Tool("spade", "dig holes", "in the garden shed"),
    Tool("needle", "sew cloth", "in a tin box"),
    Tool("saw", "cut wood", "behind the workshop door"),
    Tool("broom", "sweep floors", "in the corner of the bakery"),
    Tool("ladle", "serve soup", "on a hook above the stove"),
    Tool("net", "catch fish", "in the boat"),
    Tool("lantern", "see at night", "at the foot of the lighthouse"),
    Tool("rake", "gather leaves", "under the pear tree"),
    Tool("kettle", "boil water", "on the stove of the tea room"),
    Tool("ladder", "reach high branches", "in the orchard"),
    Tool("pump", "fill tyres", "beside the golden wheel"),
)

SEASONS = (
    ("spring", "the lambs are born and the ferry gets new paint"),
    ("summer", "the children swim in the river and the square smells of plums"),
    ("autumn", "everybody picks apples and the mill works late"),
    ("winter", "snow lies on the roofs and the lamp is lit at four"),
)

WEATHER = ("sunny", "windy", "foggy", "rainy", "cold", "mild", "stormy", "grey")
DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
CHILDREN = (("Lena", True), ("Sam", False), ("Nora", True), ("Ben", False), ("Elsa", True))
OPPOSITES = (
    ("hot", "cold"), ("tall", "short"), ("early", "late"), ("full", "empty"), ("wet", "dry"),
    ("loud", "quiet"), ("old", "young"), ("heavy", "light"), ("open", "closed"), ("near", "far"),
)  # fmt: skip
COUNTED = ("apples", "eggs", "buns", "stamps", "fish", "nails", "plums", "cups", "books", "shells")
NUMBERS = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten",
    "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen",
    "nineteen", "twenty",
)  # fmt: skip


def pronoun(she: bool) -> str:
    return "she" if she else "he"


def listed(items: tuple[str, ...]) -> str:
    """`a, b and c`."""
    return items[0] if len(items) == 1 else ", ".join(items[:-1]) + " and " + items[-1]


def sentence(text: str) -> str:
    """A first capital and a full stop."""
    return text[0].upper() + text[1:] + "."


def article(noun: str) -> str:
    return ("an " if noun[0] in "aeiou" else "a ") + noun
