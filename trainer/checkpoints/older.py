"""Files as transformers 4 reads them too, so that both versions load the same model."""

from __future__ import annotations

from typing import Any

Content = dict[str, Any]
# Version 5 keeps these in `rope_parameters`, version 4 beside it, under the names given here.
_BESIDE = {"rope_theta": "rope_theta", "partial_rotary_factor": "partial_rotary_factor"}
_NEOX = {"rope_theta": "rotary_emb_base", "partial_rotary_factor": "rotary_pct"}
_PLAIN = {"rope_type": "default"}


def model_config(content: Content) -> None:
    """Repeat in `config.json` what version 4 looks for under other names.

    >>> rope = {"rope_type": "default", "rope_theta": 5e5}
    >>> content = {"dtype": "bfloat16", "rope_parameters": rope}
    >>> model_config(content)
    >>> content["torch_dtype"], content["rope_theta"], content["rope_scaling"]
    ('bfloat16', 500000.0, None)
    """
    for part in [content, *(value for value in content.values() if isinstance(value, dict))]:
        if "dtype" in part:
            part["torch_dtype"] = part["dtype"]
    # Parts for pictures and sounds have positions of kinds that version 4 does not know.
    for part in [content, *(part for part in [content.get("text_config")] if part)]:
        if str(part.get("model_type")).startswith("qwen3") and "num_local_experts" in part:
            part["num_experts"] = part["num_local_experts"]
        _positions(part)


def _positions(part: Content) -> None:
    """Rotary positions: of layers of different kinds, those of full attention come first."""
    rope = part.get("rope_parameters")
    if not isinstance(rope, dict) or not rope:
        return
    if isinstance(local := rope.get("sliding_attention"), dict):
        if "rope_theta" in local:
            part["rope_local_base_freq"] = local["rope_theta"]
        rope = rope.get("full_attention")
        if not isinstance(rope, dict):
            return
    names = _NEOX if str(part.get("model_type")).startswith("gpt_neox") else _BESIDE
    for name, former in names.items():
        if name in rope:
            part[former] = rope[name]
    scaling = {name: value for name, value in rope.items() if name not in _BESIDE}
    if str(part.get("model_type")).startswith("phi3") and "long_factor" in scaling:
        # Version 4 takes these three alone, and their kind under this name.
        factors = {name: scaling[name] for name in ("short_factor", "long_factor")}
        scaling = {"type": scaling["rope_type"], **factors}
    part["rope_scaling"] = None if scaling in ({}, _PLAIN) else scaling


def tokenizer_config(content: Content) -> None:
    """Names in `tokenizer_config.json` that both versions know.

    >>> content = {"tokenizer_class": "TokenizersBackend", "extra_special_tokens": ["<|a|>"]}
    >>> tokenizer_config(content)
    >>> content
    {'tokenizer_class': 'PreTrainedTokenizerFast', 'additional_special_tokens': ['<|a|>']}
    """
    if content.get("tokenizer_class") == "TokenizersBackend":
        content["tokenizer_class"] = "PreTrainedTokenizerFast"
    extra = content.get("extra_special_tokens")
    if isinstance(extra, list):
        del content["extra_special_tokens"]
        known = content.get("additional_special_tokens") or []
        content["additional_special_tokens"] = [*known, *(one for one in extra if one not in known)]
