"""Templates made up to be odd: each breaks one thing that masks are easily built on."""

from __future__ import annotations

_OPEN = "{{- '<|im_start|>' + m.role + '\n' }}"
_CALLS = (
    "{%- for c in m.tool_calls or [] %}{{- '<tool_call>' + c.function.name + ' ' + "
    "c.function.arguments | tojson + '</tool_call>' }}{%- endfor %}"
)
_WORDS = "{{- m.content or '' }}" + _CALLS
_ASK = "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\n' }}{%- endif %}"
_TOOLS = "{%- if tools %}{{- '<|im_start|>tools\n' + tools | tojson + '<|im_end|>\n' }}{%- endif %}"


def _chat(
    turn: str, before: str = "", after: str = "", ask: str = _ASK, tools: str = _TOOLS
) -> str:
    return f"{before}{tools}{{%- for m in messages %}}{turn}{{%- endfor %}}{after}{ask}"


def _close(own: str, other: str = "'<|im_end|>\n'") -> str:
    """How an answer ends, and how other messages do."""
    return "{%- if m.role == 'assistant' %}" + own + "{%- else %}{{- " + other + " }}{%- endif %}"


_END = "{{- '<|im_end|>\n' }}"
_THOUGHTS = (
    "{%- if m.reasoning_content %}{{- '<think>\n' + m.reasoning_content + '\n</think>\n' }}"
    "{%- endif %}"
)
_LAST_USER = (
    "{%- set ns = namespace(at=-1) %}{%- for m in messages %}{%- if m.role == 'user' %}"
    "{%- set ns.at = loop.index0 %}{%- endif %}{%- endfor %}"
)

# Each by its name, with its source.
ODD: dict[str, str] = {
    "plain": _chat(_OPEN + _WORDS + _END),
    # Where an answer ends.
    "another stop after a call": _chat(
        _OPEN
        + _WORDS
        + _close("{%- if m.tool_calls %}{{- '<|eom|>' }}{%- else %}{{- '<|eot|>' }}{%- endif %}")
    ),
    "another stop before a result": _chat(
        _OPEN
        + _WORDS
        + _close(
            "{%- if loop.nextitem is defined and loop.nextitem.role == 'tool' or (loop.last and "
            "m.tool_calls) %}{{- '<|wait_end|>' }}{%- else %}{{- '<|turn_end|>\n' }}{%- endif %}"
        )
    ),
    "own end of a call unlike its end in the whole": _chat(
        _OPEN
        + _WORDS
        + _close(
            "{%- if loop.last and m.tool_calls %}{{- '<|wait|>' }}{%- else %}"
            "{{- '<|im_end|>\n' }}{%- endif %}"
        )
    ),
    "two control tokens close each answer": _chat(
        _OPEN + _WORDS + _close("{{- '<|end_words|><|end_turn|>' }}", "'<|end_turn|>'")
    ),
    "two control tokens close each message": _chat(
        _OPEN + _WORDS + "{{- '<|end_words|><|end_turn|>' }}"
    ),
    "three control tokens close a call": _chat(
        _OPEN
        + _WORDS
        + _close(
            "{%- if m.tool_calls %}{{- '<|end_calls|>' }}{%- endif %}"
            "{{- '<|end_words|><|end_turn|>' }}",
            "'<|end_turn|>'",
        )
    ),
    "a stop at the very end alone": _chat(
        _OPEN + _WORDS + "{{- '\n' }}",
        after="{%- if not add_generation_prompt %}{{- eos_token }}{%- endif %}",
    ),
    "no stop after the last answer": _chat(
        _OPEN
        + _WORDS
        + "{%- if not loop.last or m.role != 'assistant' %}{{- '<|im_end|>\n' }}{%- endif %}"
    ),
    "another tail after the last answer": _chat(
        _OPEN
        + _WORDS
        + "{%- if not loop.last or m.role != 'assistant' %}{{- '<|im_end|>\n' }}{%- else %}"
        "{{- '\n' }}{%- endif %}"
    ),
    "a return at the end, an end in between": _chat(
        _OPEN
        + _WORDS
        + _close(
            "{%- if loop.last %}{{- '<|return|>' }}{%- else %}{{- '<|end|>' }}{%- endif %}",
            "'<|end|>'",
        )
    ),
    "the next role's token closes": _chat(
        "{{- '<|' + m.role + '|>\n' }}" + _WORDS,
        ask="{%- if add_generation_prompt %}{{- '<|assistant|>\n' }}{%- endif %}",
    ),
    "text after the stop": _chat(_OPEN + _WORDS + "{{- '<|im_end|>\n---\n' }}"),
    "words after the stop": _chat(
        _OPEN + _WORDS + "{{- '<|im_end|> (' + m.role + ' has spoken)\n' }}"
    ),
    "a stop that is text": _chat(
        "{{- '### ' + m.role + ':\n' }}" + _WORDS + "{{- '\n### End\n\n' }}",
        ask="{%- if add_generation_prompt %}{{- '### assistant:\n' }}{%- endif %}",
    ),
    "no stop at all": _chat(
        "{{- '\n' + m.role + ': ' }}" + _WORDS,
        ask="{%- if add_generation_prompt %}{{- '\nassistant: ' }}{%- endif %}",
    ),
    "a mark between words and stop": _chat(
        _OPEN + _WORDS + _close("{{- '\n<|cite_end|>\n<|im_end|>\n' }}")
    ),
    "the stop inside the answer too": _chat(
        _OPEN
        + "{%- if m.reasoning_content %}{{- m.reasoning_content + '<|im_end|>' }}{%- endif %}"
        + _WORDS
        + _END
    ),
    # What stands before an answer.
    "history loses reasoning": _chat(
        _OPEN + "{%- if loop.index0 > ns.at %}" + _THOUGHTS + "{%- endif %}" + _WORDS + _END,
        before=_LAST_USER,
    ),
    "history loses an answer's first line": _chat(
        _OPEN + "{%- if m.role == 'assistant' and not loop.last %}"
        "{{- (m.content or '').split('\n')[-1] }}"
        + _CALLS
        + "{%- else %}"
        + _WORDS
        + "{%- endif %}"
        + _END
    ),
    "only the last exchange": _LAST_USER
    + "{%- for m in messages %}{%- if loop.index0 >= ns.at %}"
    + _OPEN
    + _WORDS
    + _END
    + "{%- endif %}{%- endfor %}"
    + _ASK,
    "counts the messages": _chat(
        _OPEN + _WORDS + _END, before="{{- '[' ~ messages | length ~ ' messages]\n' }}"
    ),
    "tools move to the last question": _chat(
        "{%- if tools and loop.index0 == ns.at %}{{- '[TOOLS]' + tools | tojson + '[/TOOLS]\n' }}"
        "{%- endif %}" + _OPEN + _WORDS + _END,
        before=_LAST_USER,
        tools="",
    ),
    "the prompt opens reasoning": _chat(
        _OPEN + _WORDS + _END,
        ask="{%- if add_generation_prompt %}{{- '<|im_start|>assistant\n<think>\n' }}{%- endif %}",
    ),
    "the prompt opens reasoning, and answers have it": _chat(
        _OPEN + "{%- if m.role == 'assistant' %}{{- '<think>\n' + (m.reasoning_content or '') + "
        "'\n</think>\n' }}{%- endif %}" + _WORDS + _END,
        ask="{%- if add_generation_prompt %}{{- '<|im_start|>assistant\n<think>\n' }}{%- endif %}",
    ),
    "the prompt asks whether to think": _chat(
        _OPEN + _THOUGHTS + _WORDS + _END,
        ask="{%- if add_generation_prompt %}{{- '<|im_start|>assistant\n' }}{%- if enable_thinking"
        " is defined and not enable_thinking %}{{- '<think>\n\n</think>\n' }}{%- endif %}"
        "{%- endif %}",
    ),
    "empty reasoning where there is none": _chat(
        _OPEN + "{%- if m.role == 'assistant' %}{{- '<think>\n' + (m.reasoning_content or '') + "
        "'\n</think>\n' }}{%- endif %}" + _WORDS + _END
    ),
    "always a header": _chat(_OPEN + _WORDS + _END, ask="{{- '<|im_start|>assistant\n' }}"),
    "never a header": _chat(
        "{%- if m.role == 'user' %}{{- '[INST] ' + m.content + ' [/INST]' }}{%- else %}{{- ' ' }}"
        + _WORDS
        + "{{- eos_token }}{%- endif %}",
        ask="",
    ),
    "a space after the header": _chat(
        "{{- m.role | title + ': ' }}"
        + _WORDS
        + "{{- '\n\n' if m.role != 'assistant' else eos_token }}",
        ask="{%- if add_generation_prompt %}{{- 'Assistant: ' }}{%- endif %}",
    ),
    "a longer header in history": _chat(
        "{{- '<|im_start|>' + m.role }}{{- '\n' if loop.last or m.role != 'assistant' else "
        "' (old)\n' }}" + _WORDS + _END
    ),
    "the question again before the answer": _chat(
        _OPEN
        + "{%- if m.role == 'assistant' and loop.previtem is defined %}{{- (loop.previtem.content "
        "or '') + ': ' }}{%- endif %}" + _WORDS + _END
    ),
    "the next question in the answer": _chat(
        _OPEN
        + _WORDS
        + "{%- if m.role == 'assistant' and loop.nextitem is defined %}{{- ' (then: ' + "
        "(loop.nextitem.content or '') + ')' }}{%- endif %}" + _END
    ),
    "bos opens each turn": _chat(
        "{{- bos_token + m.role + '\n' }}" + _WORDS + _END,
        ask="{%- if add_generation_prompt %}{{- bos_token + 'assistant\n' }}{%- endif %}",
        tools="",
    ),
    "eos closes the prompts too": _chat(
        "{{- m.role + ': ' }}" + _WORDS + "{{- eos_token + '\n' }}",
        ask="{%- if add_generation_prompt %}{{- 'assistant:' }}{%- endif %}",
    ),
    # What becomes of an answer's words.
    "capitals": _chat(_OPEN + "{{- (m.content or '') | capitalize }}" + _CALLS + _END),
    "upper case for users alone": _chat(
        _OPEN
        + "{%- if m.role == 'user' %}{{- m.content | upper }}{%- else %}"
        + _WORDS
        + "{%- endif %}"
        + _END
    ),
    "drops reasoning": _chat(_OPEN + _WORDS + _END),
    "cuts long answers": _chat(_OPEN + "{{- (m.content or '')[:200] }}" + _CALLS + _END),
    "drops nulls": _chat(
        _OPEN
        + "{{- m.content or '' }}"
        + "{%- for c in m.tool_calls or [] %}{{- '<tool_call>' + c.function.name }}{%- for k, v in "
        "c.function.arguments.items() if v is not none %}{{- ' ' ~ k ~ '=' ~ (v | tojson) }}"
        "{%- endfor %}{{- '</tool_call>' }}{%- endfor %}" + _END
    ),
    "sorts arguments": _chat(
        _OPEN
        + "{{- m.content or '' }}"
        + "{%- for c in m.tool_calls or [] %}{{- '<tool_call>' + c.function.name }}{%- for k, v in "
        "c.function.arguments | dictsort %}{{- ' ' ~ k ~ '=' ~ v }}{%- endfor %}"
        "{{- '</tool_call>' }}{%- endfor %}" + _END
    ),
    "reasoning after the answer": _chat(
        _OPEN
        + _WORDS
        + "{%- if m.reasoning_content %}{{- '\n(because ' + m.reasoning_content + ')' }}"
        "{%- endif %}" + _END
    ),
    "escapes": _chat(_OPEN + "{{- (m.content or '') | replace('<', '&lt;') }}" + _CALLS + _END),
    "words in blocks and macros": (
        "{%- macro say(m) %}{%- set words %}{{- m.content or '' }}{%- endset %}{{- words }}"
        + _CALLS
        + "{%- endmacro %}"
        + _chat(_OPEN + "{{- say(m) | trim }}" + _END)
    ),
    "joins answers in a row": _chat(
        "{%- if loop.previtem is undefined or loop.previtem.role != m.role %}"
        + _OPEN
        + "{%- endif %}"
        + _WORDS
        + "{%- if loop.last or loop.nextitem.role != m.role %}"
        + _END
        + "{%- endif %}"
    ),
    "tags with the header, without the stop": _chat(
        "{%- if m.role == 'assistant' %}{%- generation %}"
        + _OPEN
        + _WORDS
        + "{%- endgeneration %}{%- else %}"
        + _OPEN
        + _WORDS
        + "{%- endif %}"
        + _END
    ),
    "tags in a macro": (
        "{%- macro say(m) %}{%- generation %}"
        + _WORDS
        + "{{- '<|im_end|>' }}{%- endgeneration %}{%- endmacro %}"
        + _chat(
            _OPEN
            + "{%- if m.role == 'assistant' %}{{- say(m) }}{{- '\n' }}{%- else %}"
            + _WORDS
            + _END
            + "{%- endif %}"
        )
    ),
}

_NEEDS_TOOLS = "{%- if not tools %}{{- raise_exception('tools are needed') }}{%- endif %}"
_NEEDS_TEXTS = "{%- if not documents %}{{- raise_exception('documents are needed') }}{%- endif %}"

# Several templates of one tokenizer: transformers takes "tool_use" for rows with tools.
NAMED: dict[str, dict[str, str]] = {
    "tool_use beside a default without calls": {
        "default": _chat(_OPEN + "{{- m.content or '' }}" + _END, tools=""),
        "tool_use": _chat(_OPEN + _WORDS + _END),
    },
    "tool_use that needs tools, rag that needs documents": {
        "default": _chat(_OPEN + _WORDS + _END),
        "tool_use": _chat(_OPEN + _WORDS + _END, before=_NEEDS_TOOLS),
        "rag": _chat(_OPEN + _WORDS + _END, before=_NEEDS_TEXTS),
    },
    "tool_use with another stop": {
        "default": _chat(_OPEN + _WORDS + _END),
        "tool_use": _chat(_OPEN + _WORDS + "{{- '<|eot|>\n' }}"),
    },
    "a default that always fails": {
        "default": "{{- raise_exception('there is no default') }}",
        "tool_use": _chat(_OPEN + _WORDS + _END),
    },
    "tool_use that always fails": {
        "default": _chat(_OPEN + _WORDS + _END),
        "tool_use": "{{- raise_exception('there is no tool_use') }}",
    },
}
