"""Function words, which no sentence of a language does without: what settles or refutes a guess."""

from __future__ import annotations

from functools import cache

# Technical prose puts the fast model off; these settle it. No word for more than two of them.
_SETTLE = {
    "en": "the a an of to in is that for and with this are from which as on by it be you i",
    "de": "der die das und ist nicht ein eine mit auf für den dem von zu ich sie wie",
    "fr": "le la les des et est une dans pour que qui avec sur pas du je vous au",
    "es": "el la los las de y es una en para que con por no del se su un",
    "it": "il la di che e un una per con non sono del nel gli è le della",
    "pt": "o a os as de e é um uma em para que com não do da se por",
    "nl": "de het een van en is niet in op met voor dat zijn te aan ik je",
}
# What tasks about code and data are made of, in English alone: "Sort the given list of numbers".
_TASKS = (
    "write create generate given following using function string strings list number numbers code"
    " sort find return returns program array query data print calculate convert implement output"
    " input word words sentence name names value values two three all"
)
# More words of the languages that names, lists and bare code are taken for.
_MORE = {
    "de": "im am zum zur einen einem einer des wir es er sind war bei aus auch was oder als an"
    " wird hat haben kann vor nach über mein dein ihr sich du um nur noch wenn so man"
    " keine dass nenne schreibe gib erkläre zwei drei vier fünf welche welcher wer wo"
    " warum",
    "fr": "un de en aux il elle nous on ce cette ces son sa ses mon ma mes plus ne ou où sont"
    " être comme mais par tout j'ai c'est d'un d'une qu'il qu'une n'est s'il à y se leur"
    " votre nomme nommez écris donne explique deux trois quatre quel quelle pourquoi"
    " combien",
    "es": "al lo como más o son está este esta pero yo mi me te tu si sí muy ha hay sus le qué"
    " cómo usted ella nos nombra escribe dame explica dos tres cuatro cuál quién dónde"
    " tiene hola",
    "it": "lo i dei delle al alla da in si come più o ma mi ho ha questo questa anche su nella"
    " ci ti sei mio cosa scrivi dimmi spiega due tre quattro quale qual chi dove perché",
    "pt": "dos das no na mais como são ser foi está eu você ou mas seu sua ao os pelo pela meu"
    " isso escreva diga explique dois duas três qual quem onde",
    "nl": "er maar om ook als bij of hij ze wij naar uit deze dit heeft kan worden wat mijn hoe"
    " u noem schrijf geef twee drie vier welke wie waar",
    "da": "og i at det er en et den til på af for med der som de ikke har om var jeg du vi fra"
    " ved men kan han hun sig hvad nævn skriv to tre hvilken",
    "no": "og i å det er en et den til på av for med som de ikke har om var jeg du vi fra ved"
    " men kan han hun seg hva nevn skriv to tre hvilken",
    "sv": "och i att det är en ett den till på av för med som de inte har om var jag du vi från"
    " vid men kan han hon sig vad nämn skriv två tre vilken",
    "fi": "ja on ei että se hän oli mutta kun niin kuin ovat tai minä sinä me he joka mitä myös"
    " vain voi olla tämä ole",
    "pl": "i w na z do się nie to jest że jak o od po za dla przez są był była ale czy ten ta"
    " te tym co oraz ma jakie jaki kto gdzie napisz podaj dwa trzy",
    "cs": "a v na z do se je to že jak o od po za pro jsou byl byla ale ten ta co také má si s k i",
    "ro": "și în de la cu pe un o nu este sunt să că din pentru mai care al ale a au fost",
    "ca": "el la els les de i és un una en per que amb no del es al com més o són està però",
    "id": "dan yang di ke dari untuk dengan ini itu adalah pada tidak dalam akan juga saya kamu"
    " atau",
    "af": "die en van in is het nie dit vir op met te ek jy wat om",
    "et": "ja on ei et see ta oli aga kui nii või mina sina me nad kes mis ka ainult võib olla",
    "hu": "a az és hogy nem is egy van meg de ez volt csak mint ki mi én te",
    "tr": "ve bir bu da de için ile çok olarak daha gibi ne mi ben sen o olan var nedir"
    " neresidir kimdir nasıl hangi iki üç",
}
_ENOUGH = 3


def speaks(text: str, language: str) -> bool:
    """Whether the text has several function words of the language, twice as many as of others.

    >>> speaks("the house of the man who is in town", "en")
    True
    """
    words = set(text.lower().split())
    counts = {name: len(words & known) for name, known in _settling().items()}
    own = counts.pop(language, 0)
    return own >= _ENOUGH and own >= 2 * max(counts.values())


def own_words(text: str, language: str) -> int | None:
    """How many function words of the language the text has; None where they are not known here.

    Names, lists of things and identifiers have none, and the fast model takes them for many
    languages. English is not asked for any: the fast model takes little for it that is not.

    >>> own_words("Onion Potato Tomato", "it"), own_words("La vita è bella", "it")
    (0, 2)
    """
    known = _marks().get(language)
    return None if known is None else len(known.intersection(text.lower().split()))


def foreign_for_sure(text: str, language: str) -> bool:
    """Whether the text has function words of the language and none that only English has.

    >>> foreign_for_sure("Où sont les toilettes", "fr"), foreign_for_sure("on a table", "fr")
    (True, False)
    """
    words = set(text.lower().split())
    known = _marks().get(language, set())
    return len(words & known) >= 2 and words.isdisjoint(_settling()["en"] - known)


@cache
def _settling() -> dict[str, set[str]]:
    words = {name: set(known.split()) for name, known in _SETTLE.items()}
    words["en"] |= set(_TASKS.split())
    return words


@cache
def _marks() -> dict[str, set[str]]:
    return {name: {*more.split(), *_SETTLE.get(name, "").split()} for name, more in _MORE.items()}
