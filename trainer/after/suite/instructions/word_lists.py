"""What prompts are made of: requests, subjects, and the words that instructions ask for."""

from __future__ import annotations

# Without commas and full stops inside, so that a request is one plain sentence.
REQUESTS = (
    "Explain {} to somebody who has never heard of it.",
    "Write a short note about {} for a village newspaper.",
    "Tell a friend why {} can be worth an afternoon.",
    "Describe {} as you would to a curious child.",
    "Give advice to a beginner who wants to learn about {}.",
    "Write a message to a neighbour about {}.",
    "Draft the opening of a talk about {}.",
    "Say what most people get wrong about {}.",
    "Write a little story about {}.",
    "Compare the good and the bad sides of {}.",
    "Prepare a text on {} for the notice board of a library.",
    "Answer a reader who asks what is so special about {}.",
)
SUBJECTS = (
    *("beekeeping", "night trains", "old maps", "sourdough bread", "lighthouses"),
    *("river ferries", "wool", "public benches", "tide pools", "chess clubs"),
    *("mountain huts", "street markets", "paper kites", "rain barrels", "clay ovens"),
    *("bicycle repair", "wild garlic", "choir practice", "stone walls", "home radio"),
    *("snow shoes", "city pigeons", "letter writing", "apple orchards", "canal boats"),
    *("sewing machines", "school gardens", "fog", "cable cars", "pocket calculators"),
    *("glass blowing", "moss", "second-hand books", "wind mills", "salt"),
    *("birdsong", "fire drills", "crossword puzzles", "wooden toys", "harbour cranes"),
    *("meteor showers", "tea houses", "compost", "brass bands", "hot springs"),
    *("lost property offices", "kitchen scales", "tree nurseries", "ice rinks", "sundials"),
)
# Words that fit a text on any of the subjects; none has a j, q, x or z.
KEYWORDS = (
    *("morning", "patience", "corner", "winter", "simple", "careful", "memory", "weather"),
    *("garden", "silver", "market", "ladder", "hour", "family", "narrow", "gentle"),
    *("forest", "lantern", "summer", "history", "neighbour", "ordinary", "travel", "stone"),
    *("table", "evening", "window", "basket", "bridge", "calm", "island", "village"),
)
FORBIDDEN = (
    *("very", "really", "important", "people", "because", "great", "always", "often"),
    *("many", "good", "first", "world", "best", "make", "should", "also"),
)
FIRST_WORDS = ("Today", "Nobody", "Sometimes", "Perhaps", "Once", "Everyone", "Later", "Still")
LETTERS = tuple("bcdfghklmprstuw")
RARE_LETTERS = tuple("jqxz")
LANGUAGES = {
    "de": "German",
    "fr": "French",
    "es": "Spanish",
    "it": "Italian",
    "nl": "Dutch",
    "pt": "Portuguese",
    "sv": "Swedish",
    "pl": "Polish",
    "ru": "Russian",
    "zh": "Chinese",
}
SECTIONS = ("Part", "Section", "Step", "Chapter")
MARKERS = ("P.S.", "P.P.S.")
ENDINGS = (
    "That is all for today.",
    "Ask me again tomorrow.",
    "Now you know as much as I do.",
    "And so the day ends.",
    "Try it and see.",
)
QUESTIONS = (
    "Is it warmer in summer than in winter where you would look for snow?",
    "Would you carry an umbrella on a cloudless day?",
    "Can a stone float on water?",
    "Does a candle burn longer than a match?",
    "Is a ladder of use in a cellar?",
    "Would a cat win a race against a snail?",
    "Is soup eaten with a fork?",
    "Do trees grow faster than grass?",
    "Is the moon nearer to us than the sun?",
    "Can two people share one bicycle?",
    "Is a whisper louder than a shout?",
    "Would you paint a door while it rains on it?",
    "Does bread rise without yeast?",
    "Are there more spoons than houses in a village?",
    "Is a river older than the boats on it?",
)
OPTIONS = (
    ("My answer is yes.", "My answer is no.", "My answer is maybe."),
    ("Certainly.", "Certainly not.", "I cannot say."),
    ("I think so.", "I doubt it.", "It depends."),
)
