"""What a conversation is about, as tags: its own, or those of a cheap built-in tagger.

The built-in tagger knows the first word of the request, what is asked of the answer, the field of
knowledge (by words of the user's turns) and the shape of the conversation. It is no model:
InsTag's tags (Lu et al. 2024, arXiv 2308.07074) come from one, and are finer.
"""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from curate.base.json_text import loads_exact
from filters.common.tasks import ASKS, tasks, user_texts

# Tag -> whole words of the user's turns, in lower case, that bring it.
WORDS: Mapping[str, str] = {
    "topic:python": "python pandas numpy django flask pip def",
    "topic:javascript": "javascript js typescript node react jquery",
    "topic:web": "html css website webpage url http browser",
    "topic:sql": "sql database query table select mysql postgres sqlite",
    "topic:systems": "linux bash shell server docker kubernetes git unix windows network",
    "topic:programming": "code program function algorithm class array string java c++ rust compile",
    "topic:data": "dataset data statistics chart spreadsheet excel correlation regression",
    "topic:ai": "ai neural chatbot transformer gpt robot robots",
    "topic:arithmetic": "sum total calculate percent many cost costs per each twice half",
    "topic:mathematics": "equation theorem proof integral derivative polynomial matrix triangle",
    "topic:physics": "physics energy force velocity gravity quantum light electricity mass",
    "topic:chemistry": "chemical chemistry molecule acid reaction element compound",
    "topic:biology": "cell cells species animal animals plant plants evolution gene dna bacteria",
    "topic:earth": "climate ocean weather planet environment pollution earthquake carbon",
    "topic:medicine": "doctor disease patient symptoms medical medicine cancer vaccine drug",
    "topic:health": "health exercise diet sleep workout weight fitness nutrition vitamin",
    "topic:mind": "anxiety stress emotion emotions feel depression therapy psychology motivation",
    "topic:family": "mother father parents child children family marriage friend friends",
    "topic:law": "law legal court contract rights lawyer crime police",
    "topic:politics": "government president election policy democracy vote congress",
    "topic:history": "war century ancient empire king queen historical history revolution",
    "topic:philosophy": "philosophy ethics moral god religion religious meaning truth",
    "topic:economy": "economy market inflation trade tax stock investment bank money",
    "topic:business": "company business customer product marketing startup employee sales",
    "topic:work": "job resume interview career manager team project meeting",
    "topic:education": "school student students teacher university exam course learn class",
    "topic:language": "grammar verb noun word sentence language spelling vocabulary synonym",
    "topic:literature": "novel author book poem story character shakespeare fiction",
    "topic:arts": "music song film movie painting artist band actor game guitar",
    "topic:sports": "football soccer basketball team player sport tennis olympic",
    "topic:food": "recipe cook cooking food restaurant ingredients cake meal chicken",
    "topic:travel": "travel trip city country hotel flight visit tourist vacation",
    "topic:home": "house garden kitchen clean furniture room dog cat car",
}  # fmt: skip

# Tag -> the first word of the request.
OPENERS: Mapping[str, str] = {
    "ask:write": "write compose draft create generate produce make construct develop design build",
    "ask:explain": "explain describe discuss what why how define tell elaborate",
    "ask:list": "list name give suggest provide recommend brainstorm propose come",
    "ask:rewrite": "rewrite edit rephrase paraphrase correct improve convert change transform fix",
    "ask:classify": "classify categorize categorise identify label sort is are does which detect",
    "ask:summarise": "summarize summarise outline condense",
    "ask:translate": "translate",
    "ask:compare": "compare contrast differentiate evaluate analyze analyse assess",
    "ask:solve": "calculate solve compute find determine estimate evaluate simplify",
    "ask:plan": "plan schedule organize organise arrange",
    "ask:imagine": "imagine act pretend roleplay assume you suppose",
    "ask:who_when_where": "who when where whose",
}

# Tag -> a pattern in the user's turns.
PATTERNS: Mapping[str, str] = {
    "form:code_given": r"```|(?m)^\s*(?:def |class |import |#include|SELECT |<\?php|function )",
    "form:json": r"(?i)(?-u:\b)json(?-u:\b)",
    "form:table": r"(?i)(?-u:\b)(?:markdown table|table with|csv|columns)(?-u:\b)",
    "form:steps": r"(?i)(?-u:\b)(?:step[ -]by[ -]step|steps to|instructions for)(?-u:\b)",
    "form:bullets": r"(?i)(?-u:\b)(?:bullet points?|numbered list|bulleted)(?-u:\b)",
    "form:verse": r"(?i)(?-u:\b)(?:poem|haiku|rhyme|limerick|sonnet|lyrics)(?-u:\b)",
    "form:dialogue": r"(?i)(?-u:\b)(?:dialogue|conversation between|script|interview)(?-u:\b)",
    "form:letter": r"(?i)(?-u:\b)(?:e-?mail|letter|tweet|blog post|press release|headline)(?-u:\b)",
    "form:story": r"(?i)(?-u:\b)(?:story|scene|plot|fairy tale)(?-u:\b)",
    "form:essay": r"(?i)(?-u:\b)(?:essay|article|report|paragraph|speech)(?-u:\b)",
    "ask:example": r"(?i)(?-u:\b)(?:for example|an example|examples of)(?-u:\b)",
    "ask:opinion": r"(?i)(?-u:\b)(?:do you think|your opinion|pros and cons|should i)(?-u:\b)",
    "ask:constraint": r"(?i)(?-u:\b)(?:must|without using|do not|avoid|make sure|exactly)(?-u:\b)",
    "ask:style": r"(?i)(?-u:\b)(?:in the style of|tone|formal|humorous|persuasive)(?-u:\b)",
}

# What the built-in tagger can find.
TAG = pl.Enum(
    sorted(
        {*WORDS, *OPENERS, *PATTERNS}
        | {f"length:{asked}" for asked in ASKS.categories if asked}
        | {f"shape:{form}" for form in ("input", "several_turns", "system", "tools")}
    )
)

_WORD = r"[\p{L}\p{N}+#]+"
_READ = 4_000  # characters of the user's turns that are read


def built_in_tags(records: pl.DataFrame) -> pl.Series:
    """`tags` (list of `TAG`, in alphabetical order, each once) of every record."""
    asked = user_texts()
    # Of two tags with one opener the first is meant.
    openers = {word: tag for tag, words in reversed([*OPENERS.items()]) for word in words.split()}
    frame = records.select(
        text=asked.list.join("\n\n", ignore_nulls=True).fill_null("").str.head(_READ),
        turns=asked.list.len(),
        has_tools=pl.col("tools").is_not_null(),
        has_system=pl.col("messages").list.first().struct.field("role") == "system",
    ).hstack(tasks(records))
    columns = [
        *(
            pl.when(pl.col("text").str.contains(pattern)).then(pl.lit(tag)).alias(tag)
            for tag, pattern in PATTERNS.items()
        ),
        pl.col("task")
        .replace_strict(openers, default=None, return_dtype=pl.String)
        .alias("opener"),
        pl.when("has_input").then(pl.lit("shape:input")).alias("input"),
        pl.when(pl.col("asks") != "").then(pl.lit("length:") + pl.col("asks")).alias("asked"),
        pl.when(pl.col("turns") > 1).then(pl.lit("shape:several_turns")).alias("several"),
        pl.when("has_tools").then(pl.lit("shape:tools")).alias("with_tools"),
        pl.when("has_system").then(pl.lit("shape:system")).alias("with_system"),
    ]
    found = frame.select(pl.concat_list(columns).alias("tags"))["tags"]
    both = pl.DataFrame({"own": found, "topic": _topics(frame["text"])})
    joined = pl.concat_list("own", "topic").list.drop_nulls().list.unique().list.sort()
    return both.select(tags=joined.cast(pl.List(TAG)))["tags"]


def _topics(texts: pl.Series) -> pl.Series:
    """A topic counts with two of its words, or with one in a short text; each word once."""
    words = texts.str.to_lowercase().str.extract_all(_WORD).list.unique(maintain_order=True)
    rows = words.to_frame("word").with_row_index("at").explode("word", empty_as_null=True)
    brings = [(word, tag) for tag, named in WORDS.items() for word in named.split()]
    known = pl.DataFrame(brings, schema=["word", "tag"], orient="row")
    hits = rows.join(known, on="word").group_by("at", "tag").len()
    short = words.list.len().to_frame("words").with_row_index("at")
    enough = (pl.col("len") > 1) | (pl.col("words") <= _SHORT)
    tagged = hits.join(short, on="at").filter(enough).group_by("at").agg("tag")
    found = short.join(tagged, on="at", how="left", maintain_order="left")["tag"]
    return found.fill_null(pl.Series([[]], dtype=pl.List(pl.String)))


_SHORT = 30  # different words


def given_tags(records: pl.DataFrame, field: str) -> pl.Series:
    """The tags of a field of the row: a list of texts, of objects with `tag`, or one text with
    commas. `tags` (list of `pl.Categorical`, sorted, each once, in lower case); empty where there
    are none.
    """

    def tags_of(meta: str | None) -> list[str]:
        value = loads_exact(meta).get(field) if meta else None
        if isinstance(value, str):
            value = value.split(",")
        items = value if isinstance(value, list) else []
        named = [item.get("tag") if isinstance(item, dict) else item for item in items]
        texts = (item.strip().lower() for item in named if isinstance(item, str))
        return sorted({text for text in texts if text})

    # Nested JSON of several shapes: one row at a time.
    found = [tags_of(meta) for meta in records["meta"]]
    texts = pl.Series("tags", found, dtype=pl.List(pl.String))
    return texts.cast(pl.List(pl.Categorical))
