"""A tuned model asked: with its own template, until its own stops."""

from __future__ import annotations

import io
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from curate.base.errors import CurateError
from curate.chats import read_prompts, written
from curate.cli import main
from curate.verbs.chatting import converse
from tests.checkpoint_toys import (
    STOP,
    TEMPLATE,
    change_json,
    train,
    write_answers,
    write_base,
    write_letters,
    write_text_answers,
)
from tests.trainer_toys import START, silent
from trainer.after import chat
from trainer.after.chat import Sampling

pytestmark = pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing.*:FutureWarning")
LEARNT: dict[str, Any] = {"num_train_epochs": 8, "batch_size": 8, "learning_rate": 0.03}

SHORT = Sampling(max_tokens=12)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_base(tmp_path_factory.mktemp("chat") / "base")


@pytest.fixture(scope="module")
def tuned(base: str, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The folder of a run with a method, run once."""
    made: dict[str, Path] = {}
    tokens = write_answers(tmp_path_factory.mktemp("chat") / "tokens")

    def run(method: str) -> Path:
        if method not in made:
            out = tmp_path_factory.mktemp("tuned") / method
            more = {"num_train_epochs": 30, "learning_rate": 0.3} if method == "prompt" else {}
            small = {"lora_r": 4} if method == "lora-xs" else {}
            made[method] = train(tokens, base, out, method=method, **{**LEARNT, **more, **small})
        return made[method]

    return run


def asked(folder: Path, *texts: str, sampling: Sampling = SHORT) -> list[Any]:
    talker = chat.load(str(folder))
    ids = [chat.prompt_ids(talker, [{"role": "user", "content": text}]) for text in texts]
    return chat.answers(talker, ids, sampling, silent)


@pytest.mark.parametrize("place", ["", "adapter", "epochs/epoch-8"])
def test_every_folder_of_a_run_answers_and_stops(place: str, tuned: Any) -> None:
    [answer] = asked(tuned("lora") / place, "w9 w21")
    assert (answer.text, answer.stopped) == ("w7 w6", True)


def test_a_learnt_prompt_and_squares_answer_too(tuned: Any) -> None:
    for folder in (tuned("prompt"), tuned("lora-xs") / "adapter"):
        [answer] = asked(folder, "w9 w21")
        assert answer.stopped and answer.ids


def test_the_prompt_is_the_templates(tuned: Any) -> None:
    talker = chat.load(str(tuned("lora")))
    assert talker.tokenizer.chat_template == TEMPLATE
    assert chat.prompt_ids(talker, [{"role": "user", "content": "w9 w21"}]) == (START, 9, 21, 3)


@pytest.mark.parametrize("temperature", [0.0, 1.5])
def test_answers_beside_others_are_those_of_prompts_alone(temperature: float, base: str) -> None:
    folder = Path(base)
    (folder / "chat_template.jinja").write_text(TEMPLATE, encoding="utf-8")
    sampling = Sampling(temperature, max_tokens=9, seed=3)
    talker = chat.load(base)
    texts = ["w4", "w9 w21 w8 w5", "w11 w12", "w5 w6 w7 w8 w9 w10 w11"]
    ids = [chat.prompt_ids(talker, [{"role": "user", "content": text}]) for text in texts]
    together = chat.answers(talker, ids, sampling, silent)
    alone = [
        chat.answer(talker, prompt, sampling, number, silent) for number, prompt in enumerate(ids)
    ]
    assert together == alone
    assert len({answer.ids for answer in alone}) > 1


def test_what_is_drawn_depends_on_the_seed(base: str) -> None:
    (Path(base) / "chat_template.jinja").write_text(TEMPLATE, encoding="utf-8")
    one, again, other = (
        asked(Path(base), "w4", sampling=Sampling(1.0, 20, seed)) for seed in (0, 0, 1)
    )
    assert one == again != other
    # Hardly any warmth is none.
    cold = asked(Path(base), "w4", sampling=Sampling(1e-300, 20))
    assert cold == asked(Path(base), "w4", sampling=Sampling(0, 20))


def test_stops_that_are_no_token_end_answers(tmp_path: Path) -> None:
    base = tmp_path / "base"
    letters = write_letters(base)
    tokens = write_text_answers(tmp_path / "tokens", letters)
    run = train(tokens, str(base), tmp_path / "run", method="full", **LEARNT)
    template = "<s>{% for message in messages %}{{ message.content }}?{% endfor %}"
    (run / "chat_template.jinja").write_text(template, encoding="utf-8")
    [answer] = asked(run, "ak")
    assert (answer.text, answer.stopped) == ("ok", True)
    shown: list[str] = []
    talker = chat.load(str(run))
    ids = chat.prompt_ids(talker, [{"role": "user", "content": "ak"}])
    chat.answer(talker, ids, Sampling(max_tokens=12), 0, shown.append)
    assert "".join(shown) == "ok"


def test_an_answer_is_cut_at_its_limit_and_says_so(tuned: Any) -> None:
    [answer] = asked(tuned("lora"), "w9 w21", sampling=Sampling(max_tokens=1))
    assert (answer.text, answer.stopped) == ("w7", False)


def prompt_file(folder: Path, *rows: Any) -> str:
    path = folder / "prompts.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def test_prompts_are_rows_of_any_shape_with_an_answer_or_without(tmp_path: Path) -> None:
    user = {"role": "user", "content": "hi"}
    path = prompt_file(
        tmp_path,
        {"messages": [user]},
        {"id": "mine", "prompt": "hi there", "response": "left out"},
        {"instruction": "Sum up.", "input": "This."},
        {"conversations": [{"from": "human", "value": "hello"}]},
        {"messages": [user, {"role": "assistant", "content": "yo"}, {**user, "content": "more"}]},
        {"prompt": "only this"},
    )
    prompts = read_prompts(path)
    assert [[message["content"] for message in each.messages] for each in prompts] == [
        ["hi"],
        ["hi there"],
        ["Sum up.\n\nThis."],
        ["hello"],
        ["hi", "yo", "more"],
        ["only this"],
    ]
    assert prompts[1].id == "mine"
    assert len({each.id for each in prompts}) == 6
    lines = tmp_path / "lines.txt"
    lines.write_text("hi\n\nhi there\n", encoding="utf-8")
    texts = read_prompts(lines)
    assert [each.messages[0]["content"] for each in texts] == ["hi", "hi there"]
    # One prompt has one id, whatever shape it comes in.
    assert texts[0].id == prompts[0].id


def test_a_row_that_is_no_prompt_is_named(tmp_path: Path) -> None:
    path = prompt_file(tmp_path, {"prompt": "hi"}, {"colour": "red"})
    with pytest.raises(CurateError, match=r"prompts\.jsonl:2: is no prompt"):
        read_prompts(path)


def test_a_file_of_prompts_is_answered_line_by_line(
    tuned: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = prompt_file(tmp_path, {"id": "a", "prompt": "w9 w21"}, {"prompt": "w4 w5 w6"})
    out = tmp_path / "answers.jsonl"
    command = ["chat", str(tuned("lora")), "--prompts", path, "--out", str(out)]
    assert main([*command, "--system", "w8"]) == 0
    assert "2 answers, written to" in capsys.readouterr().out
    rows = [json.loads(line) for line in out.read_text("utf-8").splitlines()]
    assert rows[0]["id"] == "a"
    assert [row["messages"][0]["content"] for row in rows] == ["w8", "w8"]
    assert [(row["answer"], row["stopped"]) for row in rows] == [("w7 w6", True)] * 2
    first = out.read_bytes()
    assert main(command) == 1
    assert "is there already" in capsys.readouterr().err
    assert main([*command, "--system", "w8", "--force"]) == 0
    assert out.read_bytes() == first
    other = tmp_path / "mine.txt"
    other.write_text("mine")
    assert main([*command[:-1], str(other), "--force"]) == 1
    assert "holds no answers" in capsys.readouterr().err
    assert other.read_text() == "mine"


def test_a_prompt_that_leaves_no_room_is_named_and_nothing_is_written(
    tuned: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = prompt_file(tmp_path, {"prompt": "w4"}, {"prompt": "w4 " * 60})
    out = tmp_path / "answers.jsonl"
    assert main(["chat", str(tuned("lora")), "--prompts", path, "--out", str(out)]) == 1
    error = capsys.readouterr().err
    assert "prompts.jsonl:2" in error and "48 positions" in error
    assert not out.exists()


def test_prompts_and_their_file_go_together(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["chat", "CKPT", "--prompts", "p.jsonl"]) == 1
    assert "go together" in capsys.readouterr().err


def test_a_conversation_goes_on_until_the_input_ends(tuned: Any) -> None:
    talker = chat.load(str(tuned("lora")))
    lines, shown = iter(["w9 w21", "", "w4"]), []

    def ask(prompt: str) -> str:
        for line in lines:
            return line
        raise EOFError

    converse(talker, Sampling(max_tokens=5), "w8", ask, shown.append)
    assert "".join(shown).splitlines()[0] == "w7 w6"
    assert len("".join(shown).splitlines()) >= 2


def test_interrupting_a_conversation_leaves_it_and_ending_the_process_ends_it(tuned: Any) -> None:
    from curate.cli import Terminated

    talker = chat.load(str(tuned("lora")))

    def raising(error: type[BaseException]) -> Any:
        def ask(prompt: str) -> str:
            raise error

        return ask

    converse(talker, Sampling(), None, raising(KeyboardInterrupt), silent)
    with pytest.raises(Terminated):
        converse(talker, Sampling(), None, raising(Terminated), silent)


def test_what_a_model_writes_cannot_steer_the_terminal(
    tuned: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = shutil.copytree(tuned("lora"), tmp_path / "evil")
    text = (folder / "tokenizer.json").read_text("utf-8")
    (folder / "tokenizer.json").write_text(text.replace('"w7"', '"\\u001b[2J"'), encoding="utf-8")
    monkeypatch.setattr("sys.stdin", io.StringIO("w9 w21\n"))
    assert main(["chat", str(folder)]) == 0
    out = capsys.readouterr().out
    assert "\x1b" not in out and r"\x1b[2J w6" in out


def test_thoughts_are_kept_apart_where_the_template_looks_for_them(tuned: Any) -> None:
    talker = chat.load(str(tuned("lora")))
    text = "<think>\nTwo.\n</think>\n\n4"
    assert chat.as_message(talker, text) == {"role": "assistant", "content": text}
    talker.tokenizer.chat_template = "{{ messages[0].reasoning_content }}"
    assert chat.as_message(talker, text) == {
        "role": "assistant",
        "reasoning_content": "Two.",
        "content": "4",
    }


def test_what_cannot_be_asked_is_refused(base: str, tuned: Any, tmp_path: Path) -> None:
    def refused(folder: Path, **options: Any) -> str:
        with pytest.raises(CurateError) as error:
            chat.load(str(folder), **options)
        return str(error.value)

    assert "there is no such folder" in refused(tmp_path / "none")
    bare = shutil.copytree(tuned("full"), tmp_path / "bare")
    (bare / "chat_template.jinja").unlink()
    assert "no chat template" in refused(bare)
    (bare / "tokenizer.json").unlink()
    assert "no tokenizer" in refused(bare)
    judge = shutil.copytree(tuned("full"), tmp_path / "judge")
    named = {"architectures": ["LlamaForSequenceClassification"]}
    change_json(judge / "config.json", lambda content: content.update(named))
    assert "is a reward model" in refused(judge)
    assert "leave out --model" in refused(tuned("full"), base=base)


def test_a_template_that_refuses_messages_is_named(tuned: Any) -> None:
    talker = chat.load(str(tuned("lora")))
    talker.tokenizer.chat_template = "{{ raise_exception('no roles but one') }}"
    with pytest.raises(CurateError, match="does not take these messages: no roles but one"):
        chat.prompt_ids(talker, [{"role": "user", "content": "hi"}])


def test_the_folder_of_a_merge_answers(tuned: Any, tmp_path: Path) -> None:
    import curate

    curate.merge(tuned("lora"), out=tmp_path / "whole")
    [answer] = asked(tmp_path / "whole", "w9 w21")
    assert (answer.text, answer.stopped) == ("w7 w6", True)
    assert STOP in chat.load(str(tmp_path / "whole")).stop_ids


def test_prompts_of_the_commands_are_those_of_transformers(tuned: Any) -> None:
    talker = chat.load(str(tuned("lora")))
    words: list[dict[str, Any]] = [
        {"role": "user", "content": "w9 w21", "name": None},
        {"role": "assistant", "content": "w4", "reasoning": "w5"},
        {"role": "user", "content": "w6"},
    ]
    for template in (
        talker.tokenizer.chat_template,
        "{{ bos_token }}{% for m in messages %}{{ m | tojson }}{% endfor %}{{ tools }}",
    ):
        talker.tokenizer.chat_template = template
        theirs = chat.by_transformers(talker.tokenizer, words, None)
        assert written(talker.tokenizer, words, None) == theirs != ""


@pytest.mark.parametrize(
    ("template", "why"),
    [
        ("{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}", "steps"),
        ("{{ 'a' * 1000000000 }}", "16,000,000 characters"),
        (
            "{% set ns = namespace(t=(1,)) %}{% for i in range(99999) %}"
            "{% set ns.t = (ns.t, ns.t) %}{% endfor %}{{ {ns.t: 1} }}",
            "fails",
        ),
        ("{{ " + "(" * 3_000 + "1" + ")" * 3_000 + " }}", "too deep"),
        ("{{ raise_exception('no roles but one') }}", "no roles but one"),
    ],
    ids=["endless", "long", "nested", "brackets", "raises"],
)
def test_a_template_of_a_stranger_is_one_sentence_when_a_model_is_asked(
    base: str, tmp_path: Path, template: str, why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(base, tmp_path / "base")
    (tmp_path / "base" / "chat_template.jinja").write_text(template, "utf-8")
    (tmp_path / "asked.txt").write_text("w9 w21\n", "utf-8")
    words = ["chat", str(tmp_path / "base"), "--prompts", str(tmp_path / "asked.txt")]
    assert main([*words, "--out", str(tmp_path / "OUT.jsonl"), "--device", "cpu"]) == 1
    said = capsys.readouterr().err
    assert "asked.txt:1: the template does not take these messages: " in said and why in said
    assert "Traceback" not in said and not (tmp_path / "OUT.jsonl").exists()


NO_JSON = {"garbage": b"\xff\xfe{", "a list": b"[1]", "deep": b"[" * 100_000, "empty": b""}
NO_STOPS = {
    "no id": b'{"eos_token_id": ["x"]}',
    "an object": b'{"eos_token_id": {"a": 1}}',
    "no text": b'{"stop_strings": [1]}',
}


@pytest.mark.parametrize(
    ("name", "data"),
    [
        *(pytest.param("config.json", data, id=f"config {what}") for what, data in NO_JSON.items()),
        *(
            pytest.param("generation_config.json", data, id=what)
            for what, data in {**NO_JSON, **NO_STOPS}.items()
        ),
    ],
)
def test_a_models_settings_that_are_none_are_one_sentence(
    name: str, data: bytes, base: str, tmp_path: Path
) -> None:
    folder = tmp_path / "odd"
    shutil.copytree(base, folder)
    (folder / name).write_bytes(data)
    with pytest.raises(CurateError, match=rf"{name}: |its model cannot be loaded") as error:
        chat.load(str(folder), with_template=False)
    assert len(str(error.value).splitlines()) == 1


def test_a_single_stop_string_is_no_list_of_letters(base: str, tmp_path: Path) -> None:
    folder = tmp_path / "one"
    shutil.copytree(base, folder)
    (folder / "generation_config.json").write_text('{"stop_strings": "abc"}')
    assert chat.load(str(folder), with_template=False).stop_strings == ("abc",)
