"""The published shapes of evaluation sets, by name: how each is recognised, and what it asks.

`SHAPES` is asked in its order. Fields are compared by their names in normal form, so that
`Correct Answer` is `correct_answer`.
"""

from __future__ import annotations

from collections.abc import Callable, Container
from functools import lru_cache
from typing import Any, NamedTuple

from curate.sources.evaluations.references import (
    CHOICES,
    LETTERS,
    Answers,
    Row,
    answers_in,
    both,
    chosen,
    first_of,
    normal,
    normal_name,
    offered,
    split_answers_in,
    text_in,
    texts_of,
)
from curate.sources.shared.convert import ROLE_NAMES, Reject, described
from curate.sources.shared.transcripts import is_transcript


class Question(NamedTuple):
    """What an evaluation row asks, and the answers that count as right.

    `turns` are what the user says, one after the other; nearly always there is one. `context` is
    the passage that is asked about, `others` the same question in other words, `choices` what
    there is to choose from, the right answer among them.
    """

    turns: tuple[str, ...]
    answers: tuple[str, ...] = ()
    context: str = ""
    others: tuple[str, ...] = ()
    choices: tuple[str, ...] = ()


class Shape(NamedTuple):
    """One family of evaluation rows. `about` and `gives` (prompt; answers; context) are for people.

    A row has the shape if it has the fields `needs` (`a|b` is either), none of `without`, and
    passes the `test` of its values.
    """

    about: str
    gives: str
    needs: tuple[str, ...]
    read: Callable[[Row], list[Question]]
    without: str = ""
    test: Callable[[Row], bool] = bool

    def matches(self, row: Row) -> bool:
        """Whether a row, by names in normal form, has the shape."""
        return self.fits(row) and first_of(row, self.without) is None and self.test(row)

    def fits(self, names: Container[str]) -> bool:
        """Whether all that it needs is among these names."""
        return all(any(name in names for name in needed.split("|")) for needed in self.needs)


def question_in(row: Any) -> tuple[str, Row] | None:
    """The shape that a raw row has, and the row by names in normal form; None for no known one."""
    if not isinstance(row, dict):
        return None
    named = normal(row)
    candidates = _candidates(tuple(row))
    return next(((name, named) for name in candidates if SHAPES[name].matches(named)), None)


@lru_cache(1024)
def _candidates(fields: tuple[Any, ...]) -> tuple[str, ...]:
    """The shapes that rows with these fields, some of them null, can have; asked once a file."""
    names = {normal_name(field) for field in fields}
    return tuple(name for name, shape in SHAPES.items() if shape.fits(names))


def asks(
    prompt: str,
    answers: Answers | None = None,
    context: str = "",
    others: str = "",
    choices: Answers | None = None,
) -> Callable[[Row], list[Question]]:
    """One question, in the first of the fields `prompt` that is there."""

    def read(row: Row) -> list[Question]:
        name = first_of(row, prompt) or prompt
        other = tuple(text for one in others.split("|") if (text := text_in(row, one)).strip())
        given = answers(row) if answers else []
        read = question(row.get(name), name, given, text_in(row, context), other)
        return [read._replace(choices=_different(choices(row) if choices else []))]

    return read


def question(
    asked: Any, field: str, answers: list[str], context: str = "", others: tuple[str, ...] = ()
) -> Question:
    """A question of one turn; a reject where `field` has no text."""
    if not isinstance(asked, str):
        raise Reject("wrong_type", f"{field} is {described(asked)}; expected the question's text")
    if not asked.strip():
        raise Reject("no_question", f"{field} is blank")
    return Question((asked,), _different(answers), context, others)


def _different(answers: list[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(answer for answer in answers if answer.strip()))


# Rows that hold several turns, or several questions.


def _conversation(texts: list[Any], field: str, answers: list[str]) -> list[Question]:
    for number, text in enumerate(texts, 1):
        if not isinstance(text, str):
            raise Reject("wrong_type", f"{field} {number} is {described(text)}; expected text")
    turns = tuple(text for text in texts if text.strip())
    if not turns:
        raise Reject("no_question", f"{field} holds no text of the user")
    return [Question(turns, _different(answers))]


def _turns(row: Row) -> list[Question]:
    """MT-bench and Arena-Hard: a turn is a text, or an object with one."""
    turns = row["turns"]
    texts = [turn.get("content") if isinstance(turn, dict) else turn for turn in turns]
    return _conversation(texts, "turns", answers_in("reference", "references")(row))


def _wildbench(row: Row) -> list[Question]:
    """What the user says; what the assistant said in between is no reference."""
    references = row.get("references")
    given = list(references.values()) if isinstance(references, dict) else references
    asked = _asked(row["conversation_input"])
    return _conversation(asked, "conversation_input", list(texts_of(given)))


def _chat_prompt(row: Row) -> list[Question]:
    """Sets for reinforcement learning: messages as the prompt, and what a verifier compares."""
    answers = answers_in("answer", "reward_model", "ground_truth", "solution", "reference")(row)
    return _conversation(_asked(row["prompt"]), "prompt", answers)


def _asked(turns: list[Any]) -> list[Any]:
    return [turn.get("content") for turn in turns if isinstance(turn, dict) and _is_user(turn)]


def _is_user(turn: Row) -> bool:
    return ROLE_NAMES.get(str(turn.get("role")).lower()) == "user"


def _about(context: str, pairs: Any, field: str) -> list[Question]:
    """Questions about one passage."""
    given = [normal(pair) for pair in _list(pairs) if isinstance(pair, dict)]
    read = asks("question", answers_in("answers", "answer"))
    questions = [one._replace(context=context) for pair in given for one in read(pair)]
    if not questions:
        raise Reject("no_question", f"{field} holds no question")
    return questions


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _squad_article(row: Row) -> list[Question]:
    paragraphs = [normal(one) for one in row["paragraphs"] if isinstance(one, dict)]
    return [
        question
        for one in paragraphs
        for question in _about(text_in(one, "context"), one.get("qas"), "qas")
    ]


def _drop_passage(row: Row) -> list[Question]:
    return _about(text_in(row, "passage"), row["qa_pairs"], "qa_pairs")


def _race_article(row: Row) -> list[Question]:
    asked = row["questions"]
    options, right = _list(row.get("options")), _list(row.get("answers"))
    answers = [
        chosen()({"options": choices, "answer": letter})
        for choices, letter in zip(options, right, strict=False)
    ]
    offers = [_different(offered()({"options": choices})) for choices in options]
    answers += [[]] * (len(asked) - len(answers))
    offers += [()] * (len(asked) - len(offers))
    return [
        question(text, "questions", given, text_in(row, "article"))._replace(choices=choices)
        for text, given, choices in zip(asked, answers, offers, strict=False)
    ]


def _stem(row: Row) -> list[Question]:
    """ARC, OpenBookQA and CommonsenseQA as first published: the choices are in the question."""
    inner = normal(row["question"])
    right = chosen()({"choices": inner.get("choices"), "answerkey": row.get("answerkey")})
    read = question(inner.get("stem"), "question.stem", right)
    return [read._replace(choices=_different(offered()(inner)))]


def _wrapped(row: Row) -> list[Question]:
    found = question_in(row["doc"])
    assert found is not None, "the test has found it"
    return SHAPES[found[0]].read(found[1])


def _is_wrapped(row: Row) -> bool:
    # A row in a row in a row is nobody's: looking into it could go on for ever.
    doc = row["doc"]
    return isinstance(doc, dict) and "doc" not in normal(doc) and question_in(doc) is not None


def _sentences(row: Row) -> list[Question]:
    parts = [text_in(row, "premise|sentence1"), text_in(row, "hypothesis|sentence2")]
    return [question("\n\n".join(filter(str.strip, parts)), "premise", [])]


# Answers that no other set gives in this way.


def _targets(row: Row) -> list[str]:
    """TruthfulQA's choices of the first kind, right and wrong."""
    targets = row.get("mc1_targets")
    given = targets.get("choices", list(targets)) if isinstance(targets, dict) else []
    return [text for text in _list(given) if isinstance(text, str)]


def _true_targets(row: Row) -> list[str]:
    """TruthfulQA's choices that have the label 1."""
    targets = row.get("mc2_targets", row.get("mc1_targets"))
    if not isinstance(targets, dict):
        return []
    choices, labels = targets.get("choices", list(targets)), targets.get("labels")
    labels = list(targets.values()) if labels is None else labels
    if not isinstance(choices, list) or not isinstance(labels, list):
        return []
    return [str(text) for text, label in zip(choices, labels, strict=False) if label == 1]


_YES_OR_NO = {"true": "yes", "1": "yes", "yes": "yes", "false": "no", "0": "no", "no": "no"}


def _truth(row: Row) -> str:
    """BoolQ's answer, which SuperGLUE calls `label`; -1 where it is kept secret."""
    return str(row.get("answer", row.get("label"))).lower()


def _yes_or_no(row: Row) -> list[str]:
    return [_YES_OR_NO[_truth(row)]] if _truth(row) in _YES_OR_NO else []


def _is_text(name: str) -> Callable[[Row], bool]:
    return lambda row: isinstance(row[name], str)


def _is_object(name: str) -> Callable[[Row], bool]:
    return lambda row: isinstance(row[name], dict)


def _is_list(name: str, *kinds: type) -> Callable[[Row], bool]:
    """Whether a field is a list that begins with one of these."""
    return lambda row: isinstance(row[name], list) and isinstance((*row[name], None)[0], kinds)


def _is_turns(row: Row) -> bool:
    """Turns of the user alone: those with a role are the general reader's."""
    turns = row["turns"]
    first = turns[0] if isinstance(turns, list) and turns else None
    return isinstance(first, str) or (
        isinstance(first, dict) and "content" in first and not {"role", "from"} & first.keys()
    )


def _is_plain_text(row: Row) -> bool:
    return isinstance(row["text"], str) and not is_transcript(row["text"])


def _is_answered(row: Row) -> bool:
    """A question, but for StackExchange's: those are the general reader's, with their votes."""
    answers = (*row["answers"], None) if isinstance(row.get("answers"), list) else (None,)
    posts = isinstance(answers[0], dict) and "answer_id" in answers[0]
    return isinstance(row["question"], str) and not posts


# Fields of training formats: rows that have them are the general reader's.
_TRAINING = "messages|conversations|conversation|chosen|rejected|response|completion|response_j"

SHAPES: dict[str, Shape] = {
    "harness": Shape(
        "`{doc: {...}, request_type, ...}`: a row of this table as an evaluation harness logs it",
        "those of the row in `doc`",
        ("doc",),
        _wrapped,
        test=_is_wrapped,
    ),
    "squad-articles": Shape(
        "SQuAD as first published: `{data: [{title, paragraphs: [{context, qas: [...]}]}]}`",
        "each question; its answers; context",
        ("paragraphs",),
        _squad_article,
        test=_is_list("paragraphs", dict),
    ),
    "drop-passages": Shape(
        "DROP as first published: `{ID: {passage, qa_pairs: [{question, answer: {...}}]}}`",
        "each question; numbers and spans; passage",
        ("passage", "qa_pairs"),
        _drop_passage,
        test=_is_list("qa_pairs", dict),
    ),
    "race-articles": Shape(
        "RACE as first published: `{article, questions: [...], options: [[...]], answers: [...]}`",
        "each question; the right option; article",
        ("article", "questions"),
        _race_article,
        test=_is_list("questions", str),
    ),
    "turns": Shape(
        "MT-bench `{question_id, category, turns: [text, ...], reference?}`, Arena-Hard v0.1 "
        "`{question_id, category, cluster, turns: [{content}]}`",
        "all turns; each reference",
        ("turns",),
        _turns,
        test=_is_turns,
    ),
    "wildbench": Shape(
        "`{session_id, conversation_input: [{role, content}], checklist, references: {...}}`",
        "all turns of the user; each reference",
        ("conversation_input",),
        _wildbench,
        test=_is_list("conversation_input", dict),
    ),
    "chat-prompt": Shape(
        "AIME and MATH for verifiers: `{prompt: [{role, content}], reward_model: {ground_truth}}`",
        "all turns of the user; ground_truth, answer, solution",
        ("prompt",),
        _chat_prompt,
        without=_TRAINING,
        test=lambda row: _is_list("prompt", dict)(row) and "role" in row["prompt"][0],
    ),
    "bigcodebench": Shape(
        "`{task_id, complete_prompt, instruct_prompt, canonical_solution, test, ...}`",
        "complete_prompt, and instruct_prompt; canonical_solution",
        ("complete_prompt", "instruct_prompt"),
        asks("complete_prompt", answers_in("canonical_solution"), others="instruct_prompt"),
    ),
    "livecodebench": Shape(
        "`{question_title, question_content, platform, question_id, starter_code, ...}`",
        "question_content; none",
        ("question_content",),
        asks("question_content"),
    ),
    "humaneval": Shape(
        "HumanEval, EvalPlus `{task_id, prompt, canonical_solution, test, entry_point}`",
        "prompt; canonical_solution",
        ("prompt", "canonical_solution|entry_point"),
        asks("prompt", answers_in("canonical_solution")),
        test=_is_text("prompt"),
    ),
    "mbpp": Shape(
        "`{task_id, text or prompt, code, test_list}`",
        "text; code",
        ("text|prompt", "code", "test_list"),
        asks("text|prompt", answers_in("code")),
    ),
    "swe-bench": Shape(
        "`{instance_id, repo, problem_statement, patch, ...}`",
        "problem_statement; patch",
        ("problem_statement",),
        asks("problem_statement", answers_in("patch")),
    ),
    "winogrande": Shape(
        "`{sentence, option1, option2, answer: 1 or 2}`",
        "sentence; the right option",
        ("sentence", "option1", "option2"),
        asks(
            "sentence",
            chosen("answer", "option1|option2", first=1),
            choices=offered("option1|option2"),
        ),
    ),
    "hellaswag": Shape(
        "`{ind, activity_label, ctx_a, ctx_b, ctx, endings: [...], label}`",
        "ctx; the right ending",
        ("ctx", "endings"),
        asks("ctx", chosen("label"), choices=offered()),
    ),
    "piqa": Shape(
        "`{goal, sol1, sol2, label?}`",
        "goal; the right solution, none where labels are in a file of their own",
        ("goal", "sol1", "sol2"),
        asks("goal", chosen("label", "sol1|sol2"), choices=offered("sol1|sol2")),
    ),
    "copa": Shape(
        "`{premise, choice1, choice2, question: cause or effect, label}`",
        "premise; the right choice",
        ("premise", "choice1", "choice2"),
        asks("premise", chosen("label", "choice1|choice2"), choices=offered("choice1|choice2")),
    ),
    "social-iqa": Shape(
        "`{context, question, answerA, answerB, answerC, label: 1 to 3}`",
        "question; the right answer; context",
        ("question", "answera", "answerb"),
        asks(
            "question",
            chosen("label|correct", "answera|answerb|answerc", 1),
            "context",
            choices=offered("answera|answerb|answerc"),
        ),
    ),
    "belebele": Shape(
        "`{flores_passage, question, mc_answer1, ..., correct_answer_num: 1 to 4}`",
        "question; the right answer; flores_passage",
        ("question", "mc_answer1", "mc_answer2"),
        asks(
            "question",
            chosen("correct_answer_num", "mc_answer1|mc_answer2|mc_answer3|mc_answer4", first=1),
            "flores_passage",
            choices=offered("mc_answer1|mc_answer2|mc_answer3|mc_answer4"),
        ),
    ),
    "medmcqa": Shape(
        "`{question, opa, opb, opc, opd, cop: 0 to 3, exp}`",
        "question; the right option, exp",
        ("question", "opa", "opb"),
        asks(
            "question",
            both(chosen("cop", "opa|opb|opc|opd"), answers_in("exp")),
            choices=offered("opa|opb|opc|opd"),
        ),
    ),
    "truthfulqa": Shape(
        "`Type,Category,Question,Best Answer,Correct Answers,Incorrect Answers,Source`; "
        "`{question, mc1_targets, mc2_targets}`",
        "question; each correct answer",
        ("question", "best_answer|correct_answers|mc1_targets|mc2_targets"),
        asks(
            "question",
            both(split_answers_in("best_answer", "correct_answers"), _true_targets),
            choices=_targets,
        ),
    ),
    "gpqa": Shape(
        "GPQA `Question`, `Correct Answer`, `Incorrect Answer 1`, ..., `Explanation`; SciQ "
        "`{question, correct_answer, distractor1, ..., support}`",
        "question; the correct answer, the explanation",
        ("question", "correct_answer"),
        asks(
            "question",
            answers_in("correct_answer", "explanation"),
            choices=answers_in(
                "correct_answer",
                *(
                    f"{wrong}{number}"
                    for number in "123"
                    for wrong in ("incorrect_answer_", "distractor")
                ),
            ),
        ),
    ),
    "triviaqa": Shape(
        "`{question, question_id, answer: {value, aliases, ...}, search_results, ...}`; as first "
        "published `{Data: [{Question, Answer: {...}}]}`",
        "question; value and each alias",
        ("question", "answer"),
        asks("question", answers_in("answer")),
        test=_is_object("answer"),
    ),
    "openbookqa": Shape(
        "`{id, question_stem, choices: {text: [...], label: [...]}, answerKey}`",
        "question_stem; the right choice",
        ("question_stem",),
        asks("question_stem", chosen(), choices=offered()),
    ),
    "stems": Shape(
        "ARC, OpenBookQA and CommonsenseQA as first published: "
        "`{id, question: {stem, choices: [{text, label}]}, answerKey}`",
        "question.stem; the right choice",
        ("question",),
        _stem,
        test=_is_object("question"),
    ),
    "boolq": Shape(
        "`{question, passage, answer: bool}`; SuperGLUE `{question, passage, idx, label}`",
        "question; yes or no; passage",
        ("question", "passage", "answer|label"),
        asks("question", _yes_or_no, "passage"),
        without=CHOICES,
        test=lambda row: _truth(row) in (*_YES_OR_NO, "-1"),
    ),
    "passage-choices": Shape(
        "RACE `{article, question, options: [...], answer: letter}`, LogiQA, AGIEval",
        "question; the right option; article, passage or context",
        ("article|passage|context", "question|query", CHOICES),
        asks("question|query", chosen(), "article|passage|context", choices=offered()),
    ),
    "choices": Shape(
        "MMLU `{question, subject, choices: [...], answer: 0 to 3}`; MMLU-Pro `{question, options: "
        "[...], answer: letter, answer_index, cot_content, ...}`; ARC, CommonsenseQA `{question, "
        "choices: {text: [...], label: [...]}, answerKey}`; MedQA",
        "question; the right choice, and cot_content, explanation, rationale, solution",
        ("question|query|problem", CHOICES),
        asks(
            "question|query|problem",
            both(chosen(), answers_in("cot_content", "explanation", "rationale", "solution")),
            choices=offered(),
        ),
    ),
    "lettered": Shape(
        "C-Eval, CMMLU `id,question,A,B,C,D,answer,explanation`; MMLU as first published: CSV of "
        "question, choices and letter without a header",
        "question; the right choice, explanation",
        ("question", "a", "b"),
        asks(
            "question",
            both(chosen(columns="|".join(LETTERS.lower())), answers_in("explanation")),
            choices=offered("|".join(LETTERS.lower())),
        ),
    ),
    "squad": Shape(
        "SQuAD `{id, title, context, question, answers: {text: [...]}}`; DROP "
        "`{section_id, passage, question, answers_spans: {spans: [...]}}`",
        "question; each answer; context, passage, article or story",
        ("question", "context|passage|article|story", "answers|answers_spans|answer"),
        asks(
            "question",
            answers_in("answers", "answers_spans", "answer"),
            "context|passage|article|story",
        ),
    ),
    "sentence-pairs": Shape(
        "`{premise, hypothesis, label}`, `{sentence1, sentence2, label}`",
        "both sentences; none",
        ("premise|sentence1", "hypothesis|sentence2"),
        _sentences,
    ),
    "ifeval": Shape(
        "`{key, prompt, instruction_id_list, kwargs}`",
        "prompt; none",
        ("prompt", "instruction_id_list"),
        asks("prompt"),
    ),
    "bbh": Shape(
        "BIG-Bench Hard `{canary, examples: [{input, target}]}` or `{input, target}`",
        "input; target",
        ("input", "target"),
        asks("input", answers_in("target")),
        without="instruction",
        test=_is_text("input"),
    ),
    "math": Shape(
        "MATH `{problem, level, type, solution}`; AIME `Problem`, `Answer`, `Solution`, `ID`; "
        "SimpleQA `{problem, answer}`",
        "problem; solution, answer",
        ("problem", "solution|answer"),
        asks("problem", answers_in("solution", "answer")),
        without=_TRAINING,
        test=_is_text("problem"),
    ),
    "questions": Shape(
        "GSM8K `{question, answer}`; NQ-open `{question, answer: [...]}`; PopQA "
        "`{question, possible_answers}`; MGSM, OlympiadBench, APPS",
        "question; each answer and solution",
        (
            "question",
            "answer|answers|possible_answers|answer_number|solution|solutions|final_answer",
        ),
        asks(
            "question",
            answers_in(
                *("answer", "answers", "possible_answers", "answer_number", "solution"),
                *("solutions", "final_answer", "rationale"),
            ),
        ),
        without=_TRAINING,
        test=_is_answered,
    ),
    "passage-instruction": Shape(
        "Dolly `{instruction, context, response}`",
        "instruction; response; context",
        ("instruction", "context", "response"),
        asks("instruction", answers_in("response"), "context"),
        test=lambda row: bool(text_in(row, "context").strip()),
    ),
    "alpaca-eval": Shape(
        "`{instruction, output, generator, dataset}`",
        "instruction; output",
        ("instruction", "output", "generator"),
        asks("instruction", answers_in("output")),
        without="input",
    ),
    "arena-hard": Shape(
        "Arena-Hard v2 `{uid, category, subcategory, prompt}`",
        "prompt; none",
        ("uid", "prompt"),
        asks("prompt"),
        without=_TRAINING,
        test=_is_text("prompt"),
    ),
    "text": Shape(
        "LAMBADA `{text}`, text beside labels",
        "text, on the side that `field` names",
        ("text",),
        asks("text", answers_in("text")),
        without=f"{_TRAINING}|prompt|question|problem|instruction|query|input|role|code",
        test=_is_plain_text,
    ),
}
