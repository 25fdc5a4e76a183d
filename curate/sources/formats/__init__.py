"""The formats of rows, by name: how each is recognised and read. Asked in this order."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from curate.sources.formats import (
    arena,
    bedrock,
    blocks,
    channels,
    chatgpt,
    chats,
    claude,
    cohere,
    conversational,
    frameworks,
    gemini,
    glaive,
    helpdesk,
    helpsteer,
    hermes,
    instances,
    labelling,
    langchain,
    lists,
    logs,
    pairs,
    people,
    posts,
    preferences,
    ranked,
    responses,
    transcripts,
    trees,
    xlam,
)
from curate.sources.shared.convert import Conversation, Joined, Row


class Format(NamedTuple):
    """How to recognise one family of rows, and how to read it."""

    matches: Callable[[Row], bool]
    convert: Callable[[Row], list[Conversation]]


# The first that recognises a row converts it, so the more particular stand before the general.
FORMATS = {
    "chosen-rejected": Format(preferences.is_chosen_rejected, preferences.chosen_rejected),
    "openai-preference": Format(preferences.is_openai_preference, preferences.openai_preference),
    "kept": Format(chats.is_kept, chats.kept),
    "several-people": Format(people.is_people, people.people),
    "zendesk": Format(helpdesk.is_zendesk, helpdesk.zendesk),
    "intercom": Format(helpdesk.is_intercom, helpdesk.intercom),
    "chatgpt-export": Format(chatgpt.is_chatgpt, chatgpt.chatgpt),
    "claude-export": Format(claude.is_claude, claude.claude),
    "label-studio": Format(labelling.is_label_studio, labelling.label_studio),
    "label-studio-table": Format(labelling.is_label_studio_table, labelling.label_studio_table),
    "argilla": Format(labelling.is_argilla, labelling.argilla),
    "argilla-record": Format(labelling.is_argilla_record, labelling.argilla_record),
    "langsmith": Format(langchain.is_langsmith, langchain.langsmith),
    "api-log": Format(logs.is_log, logs.log),
    "responses": Format(responses.is_responses, responses.responses),
    "langchain": Format(langchain.is_langchain, langchain.langchain),
    "llama-index": Format(frameworks.is_llama_index, frameworks.llama_index),
    "haystack": Format(frameworks.is_haystack, frameworks.haystack),
    "cohere": Format(cohere.is_cohere, cohere.cohere),
    "cohere-history": Format(cohere.is_cohere_history, cohere.cohere_history),
    "gemini": Format(gemini.is_gemini, gemini.gemini),
    "ai-studio": Format(gemini.is_ai_studio, gemini.ai_studio),
    "palm": Format(gemini.is_palm, gemini.palm),
    "bedrock": Format(bedrock.is_bedrock, bedrock.bedrock),
    "arena": Format(arena.is_arena, arena.arena),
    "rejected-beside": Format(preferences.is_rejected_beside, preferences.rejected_beside),
    "helpsteer-preference": Format(helpsteer.is_helpsteer_pair, helpsteer.helpsteer_pair),
    "helpsteer-edit": Format(helpsteer.is_helpsteer_edit, helpsteer.helpsteer_edit),
    "helpsteer": Format(helpsteer.is_helpsteer, helpsteer.helpsteer),
    "xlam": Format(xlam.is_xlam, xlam.xlam),
    "glaive": Format(glaive.is_glaive, glaive.glaive),
    "hermes": Format(hermes.is_hermes, hermes.hermes),
    "toolace": Format(hermes.is_bracket_calls, hermes.bracket_calls),
    "harmony": Format(blocks.is_harmony, blocks.harmony),
    "anthropic": Format(blocks.is_anthropic, blocks.anthropic),
    "messages": Format(chats.is_messages, chats.messages),
    "sharegpt": Format(chats.is_sharegpt, chats.sharegpt),
    "turns": Format(chats.is_turns, chats.turns),
    "lima": Format(lists.is_lima, lists.lima),
    "ultrachat": Format(lists.is_ultrachat, lists.ultrachat),
    "exchanges": Format(lists.is_exchanges, lists.exchanges),
    "parallel-lists": Format(lists.is_parallel, lists.parallel),
    "mt-bench": Format(lists.is_mt_bench, lists.mt_bench),
    "oasst": Format(trees.is_tree, trees.tree),
    "stackexchange-posts": Format(posts.is_joined, posts.joined),
    "stackexchange-paired": Format(posts.is_paired, posts.paired),
    "stackexchange-answers": Format(posts.is_answers, posts.answers),
    "judged-pair": Format(preferences.is_judged_pair, preferences.judged_pair),
    "shp": Format(preferences.is_voted_pair, preferences.voted_pair),
    "ultrafeedback": Format(ranked.is_completions, ranked.completions),
    "generations": Format(ranked.is_generations, ranked.generations),
    "nectar": Format(ranked.is_answer_ranks, ranked.answer_ranks),
    "versus": Format(arena.is_versus, arena.versus),
    "summaries": Format(arena.is_summaries, arena.summaries),
    "kto": Format(conversational.is_kto, conversational.kto),
    "conversational": Format(conversational.is_conversational, conversational.conversational),
    "self-instruct": Format(instances.is_self_instruct, instances.self_instruct),
    "baize": Format(transcripts.is_baize, transcripts.baize),
    "belle": Format(transcripts.is_belle, transcripts.belle),
    "prompt-transcript": Format(transcripts.is_prompt_transcript, transcripts.prompt_transcript),
    "answer-transcript": Format(transcripts.is_answer_transcript, transcripts.answer_transcript),
    "dolly": Format(pairs.is_dolly, pairs.dolly),
    "alpaca": Format(pairs.is_alpaca, pairs.alpaca),
    "prompt-completion": Format(pairs.is_pair, pairs.pair),
    "tuning-pair": Format(gemini.is_tuning_pair, gemini.tuning_pair),
    "request": Format(instances.is_request, instances.request),
    "red-team": Format(transcripts.is_red_team, transcripts.red_team),
    "text": Format(transcripts.is_text, transcripts.text),
}

Gather = Callable[[list[tuple[int, Row]]], Iterator[Joined]]

# Rows that mean something only together: set aside, joined when the file ends, then converted.
GATHERED: dict[str, tuple[Callable[[Row], bool], Gather]] = {
    "oasst-messages": (trees.is_tree_message, trees.gather),
    "stackexchange-raw": (posts.is_post, posts.gather),
    "slack": (channels.is_slack, channels.gather_slack),
    "slack-history": (channels.is_slack_history, channels.gather_slack_history),
    "discord": (channels.is_discord, channels.gather_discord),
    "discord-messages": (channels.is_discord_message, channels.gather_discord_messages),
    "telegram": (channels.is_telegram, channels.gather_telegram),
}


def is_row(value: object) -> bool:
    """Whether an object is a row that some format knows."""
    return isinstance(value, dict) and (
        any(recognises(known.matches, value) for known in FORMATS.values())
        or any(recognises(matches, value) for matches, _ in GATHERED.values())
    )


def recognises(matches: Callable[[Row], bool], row: Row) -> bool:
    """Whether a format recognises a row; one that fails at it does not.

    Asked of objects that may be rows or hold some. When it is read as a row, it is asked again,
    and what fails then is said.
    """
    try:
        return matches(row)
    except MemoryError:
        raise
    except Exception:
        return False
