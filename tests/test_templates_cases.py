"""Odd cases of conversations, templates and tokenizers, and the tests that say what they yield."""

from __future__ import annotations

import re
from pathlib import Path

# Number of the case, what it is, and its tests (of tests/test_templates_*.py unless they say more).
CASES: dict[int, tuple[str, tuple[str, ...]]] = {
    1: ("plain ChatML", ("masks: exactly_the_answers_and_their_stops_are_trained",)),
    2: ("system and three users more", ("masks: system_and_further_users_train_nothing",)),
    3: (
        "answer equal to question",
        ("masks: an_answer_equal_to_its_question_is_found_by_position",),
    ),
    4: (
        "a question that spells a turn",
        ("tokens: control_tokens_in_a_question_become_plain_text_and_train_nothing",),
    ),
    5: (
        "an answer that spells its stop",
        ("tokens: a_stop_spelt_in_an_answer_is_text_and_the_real_stop_is_trained_once",),
    ),
    6: ("bytes at the end", ("tokens: all_byte_tokens_of_a_last_character_are_trained",)),
    7: (
        "combining characters",
        ("tokens: combining_characters_are_exact_under_a_composing_normaliser",),
    ),
    8: (
        "trimmed spaces",
        ("masks: white_space_that_the_template_trims_is_no_error_and_on_the_card",),
    ),
    9: (
        "a line break merged with the template's",
        ("tokens: a_token_over_content_and_template_white_space_is_found_by_offsets",),
    ),
    10: (
        "a header that ends in a space",
        (
            "tokens: a_header_that_ends_in_a_space_is_cut_as_at_inference",
            "tokens: a_straddling_token_is_left_whole_on_request",
            "tokens: a_straddling_token_is_refused_on_request",
        ),
    ),
    11: (
        "SentencePiece after [/INST]",
        (
            "bundled: mistral_renders_the_golden_texts_and_ids",
            "tokens: a_cut_after_a_metaspace_header_doubles_no_space",
        ),
    ),
    12: ("byte fallback", ("tokens: all_byte_tokens_of_a_last_character_are_trained",)),
    13: (
        "tagged twins",
        (
            "twins: a_tagged_twin_trains_what_is_generated_and_beyond_it_only_what_is_listed",
            "twins: every_difference_has_its_reason",
        ),
    ),
    14: (
        "tag in a macro",
        (
            "masks: answers_inside_macros_and_buffers_are_trained_and_headers_not",
            "transformers: theirs_trains_the_header_where_a_macro_or_a_buffer_starts_with_it",
        ),
    ),
    15: (
        "tag in a set block",
        (
            "tags: tags_that_agree_change_nothing_wherever_they_stand",
            "transformers: theirs_trains_the_header_where_a_macro_or_a_buffer_starts_with_it",
        ),
    ),
    16: (
        "odd, nested and empty tags",
        (
            "masks: generation_tags_of_any_spelling_change_nothing",
            "tags: marks_are_read_with_nesting_and_nothing_is_counted_twice",
        ),
    ),
    17: (
        "tag with the header, or without the stop",
        ("tags: a_disagreement_refuses_the_row_unless_one_side_is_chosen",),
    ),
    18: (
        "span that ends at token 0",
        ("transformers: theirs_trains_the_question_after_an_answer_of_one_first_token",),
    ),
    19: (
        "span at white space that is thrown away",
        (
            "masks: text_that_the_tokenizer_throws_away_leaves_neighbours_masked",
            "transformers: theirs_trains_all_that_follows_a_span_that_ends_in_white_space",
            "transformers: theirs_trains_nothing_from_a_span_on_that_starts_in_white_space",
        ),
    ),
    20: (
        "two turns with reasoning",
        (
            "history: a_conversation_becomes_one_example_for_each_turn_that_is_later_rewritten",
            "history: each_example_starts_with_the_prompt_of_its_turn_token_for_token",
        ),
    ),
    21: ("tool loop", ("history: a_tool_loop_under_one_question_stays_one_example",)),
    22: (
        "empty thoughts",
        (
            "history: the_empty_thoughts_of_a_template_are_prompt_and_not_trained",
            "families: a_card_says_which_thoughts_a_prompt_holds",
        ),
    ),
    23: (
        "thoughts in the content",
        ("history: reasoning_that_the_template_drops_is_refused_and_kept_by_raw_completion",),
    ),
    24: (
        "an argument that keeps thoughts",
        ("history: an_argument_that_keeps_old_thoughts_makes_one_chain",),
    ),
    25: (
        "Harmony",
        ("families: harmony_ends_answers_in_return_calls_in_call_and_its_history_in_end",),
    ),
    26: (
        "the next role's token is the stop",
        (
            "masks: the_next_role_token_can_be_the_stop",
            "masks: a_stop_that_only_the_next_turn_writes_is_borrowed_and_missed_at_the_end",
            "twins: the_stop_that_the_next_turn_writes_is_in_the_tags_of_both",
        ),
    ),
    27: (
        "Gemma",
        (
            "families: gemma_ends_a_turn_in_its_own_token_though_eos_is_another",
            "tokens: an_end_of_turn_token_that_is_not_eos_is_the_stop",
        ),
    ),
    28: (
        "Llama 3",
        (
            "bundled: llama3_stops_at_its_end_of_turn_and_chatml_at_its_text",
            "families: a_call_that_ends_in_a_token_of_its_own_is_trained_with_it",
        ),
    ),
    29: (
        "last turn without a stop; one eos at the very end",
        (
            "masks: a_stop_that_only_the_next_turn_writes_is_borrowed_and_missed_at_the_end",
            "history: a_template_without_an_end_gets_eos_on_request",
            "masks: an_eos_only_at_the_very_end_leaves_the_turns_own_stop",
        ),
    ),
    30: (
        "no terminator",
        (
            "checks: an_answer_without_a_stop_is_refused",
            "history: a_template_without_an_end_gets_eos_on_request",
        ),
    ),
    31: (
        "header always appended",
        (
            "masks: a_header_that_is_always_appended_is_not_trained",
            "random: exactly_the_answers_and_stops_are_trained_after_the_prompts_of_inference",
        ),
    ),
    32: (
        "generation prompt ignored",
        ("masks: a_template_that_ignores_the_generation_prompt_trains_from_its_last_word",),
    ),
    33: ("no role words", ("masks: a_template_without_role_words_trains_content_and_eos",)),
    34: ("echoed roles", ("masks: a_role_that_the_template_echoes_is_not_payload",)),
    35: (
        "a template that raises",
        (
            "checks: a_template_error_refuses_its_row_and_quotes_the_line",
            "checks: a_template_that_needs_a_user_refuses_a_prefix_without_one",
            "bundled: gemma_refuses_a_system_message_as_the_original_does",
        ),
    ),
    36: (
        "odd orders of turns",
        ("masks: two_answers_in_a_row_and_an_answer_first_have_defined_results",),
    ),
    37: (
        "empty answers",
        (
            "masks: an_empty_answer_is_refused_unless_it_is_not_trained",
            "transformers: an_answer_without_words_is_trained_by_theirs_and_refused_by_ours",
        ),
    ),
    38: (
        "keys without a value",
        (
            "tools: messages_are_offered_as_transformers_offers_them",
            "families: values_that_arguments_lack_are_written_as_null_and_never_as_none",
        ),
    ),
    39: ("weights", ("masks: weight_zero_masks_a_turn_and_all_zero_drops_the_row",)),
    40: (
        "names of weights",
        (
            "test_sources.py: loss_controls_under_all_their_names_are_one_weight",
            "test_sources.py: loss_controls_that_disagree_are_a_reject",
        ),
    ),
    41: (
        "last turn, roles, reasoning",
        (
            "families: last_turn_roles_and_reasoning_do_as_they_are_named",
            "bundled: tool_calls_are_trained_and_their_results_are_not",
        ),
    ),
    42: (
        "arguments as text or object",
        (
            "tools: arguments_as_text_and_as_object_give_the_same_ids",
            "tools: unreadable_calls_refuse_their_row_and_say_why",
        ),
    ),
    43: ("parallel calls", ("tools: parallel_calls_are_trained_whole_without_escapes",)),
    44: (
        "dropped calls, results, words",
        (
            "bundled: tool_calls_are_refused_where_there_is_no_place_for_them",
            "checks: reasoning_and_tool_calls_that_a_template_drops_are_lost_payload",
            "families: a_template_that_leaves_out_what_others_say_refuses_the_row",
        ),
    ),
    45: (
        "tools and documents",
        (
            "tools: tools_are_given_to_prompt_and_answer_alike",
            "given: documents_go_to_every_render_and_are_never_trained",
            "bundled: tools_that_move_with_the_conversation_are_a_rewritten_history",
        ),
    ),
    46: (
        "named templates",
        (
            "tools: a_template_of_its_own_is_used_for_rows_with_tools",
            "tokenizer: chat_templates_come_from_config_and_files_win",
        ),
    ),
    47: (
        "one bos",
        (
            "tokens: exactly_one_bos_whoever_writes_it",
            "transformers: the_masks_are_equal_after_a_bos_of_the_template",
        ),
    ),
    48: ("bos that opens turns", ("tokens: a_bos_that_opens_every_turn_is_no_false_alarm",)),
    49: (
        "padding with eos",
        (
            "batches: padding_is_masked_and_the_stops_are_not_where_both_are_one_token",
            "batches: others_pad_our_labels_by_position_on_either_side",
        ),
    ),
    50: (
        "truncation",
        (
            "choices: a_row_is_cut_after_masking_and_a_turn_in_part_is_not_trained",
            "choices: the_left_side_can_be_cut_instead",
            "transformers: of_a_row_that_is_cut_ours_trains_what_is_left_whole",
        ),
    ),
    51: (
        "packing",
        ("batches: packed_documents_predict_nothing_of_each_other_and_keep_their_masks",),
    ),
    52: ("the day", ("environment: the_clock_stands_still",)),
    53: (
        "number of workers, size of batches",
        (
            "batches: rows_come_out_the_same_in_batches_of_any_size",
            "dataset: the_same_rows_give_the_same_bytes",
            "test_pipeline.py: any_number_of_processes_measures_the_same",
        ),
    ),
    54: (
        "attacks",
        (
            "environment: templates_that_ask_for_too_much_are_stopped",
            "environment: attributes_lead_nowhere_and_inputs_stay_as_they_were",
        ),
    ),
    55: (
        "long conversations",
        (
            "environment: a_long_conversation_is_within_the_limits",
            "tokens: a_long_conversation_without_control_tokens_is_proven_turn_by_turn",
        ),
    ),
    56: ("no offsets", ("slow: masks_are_those_of_the_fast_tokenizer",)),
    57: (
        "tokens that swallow",
        ("tokens: added_tokens_that_swallow_white_space_keep_spans_right",),
    ),
    58: (
        "added tokens that are not special",
        ("tokens: added_tokens_that_are_not_special_are_text_in_content_too",),
    ),
    59: (
        "formats with a malformed row",
        (
            "test_formats.py: a_published_row_is_read_and_a_malformed_one_rejected_with_its_line",
            "test_sources.py: a_file_that_mixes_formats_says_so",
        ),
    ),
    60: (
        "trees",
        (
            "test_formats.py: the_best_path_of_a_tree_follows_ranks_and_avoids_bad_messages",
            "test_formats.py: flat_and_nested_trees_give_equal_conversations",
        ),
    ),
    61: (
        "an answer that goes on",
        ("given: an_open_answer_is_trained_to_its_end_and_without_a_stop",),
    ),
    62: (
        "preview and dataset",
        ("preview: preview_and_written_dataset_show_the_same_mask",),
    ),
}
HERE = Path(__file__).parent


def test_every_case_has_tests_and_every_test_named_is_there() -> None:
    assert sorted(CASES) == list(range(1, 63))
    for number, (_, names) in CASES.items():
        assert names
        for name in names:
            room, _, test = name.partition(": ")
            path = HERE / (room if room.endswith(".py") else f"test_templates_{room}.py")
            assert re.search(rf"^def test_{test}\(", path.read_text("utf-8"), re.MULTILINE), (
                f"case {number}: no test {test} in {path.name}"
            )
