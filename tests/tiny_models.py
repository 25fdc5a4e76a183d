"""Tiny random models of many architectures, with the words of `checkpoint_toys` as vocabulary."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tests.checkpoint_toys import EOS, WORDS, write_words
from tests.trainer_toys import START

_ENDS = {"bos_token_id": START, "eos_token_id": EOS, "pad_token_id": 0}
_BASIC: dict[str, Any] = {
    **_ENDS,
    "vocab_size": WORDS,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "initializer_range": 0.1,
}
_POSITIONS = {"max_position_embeddings": 64}
_LLAMA = {**_BASIC, **_POSITIONS, "num_key_value_heads": 2}
_HEADS = {**_LLAMA, "head_dim": 8}
_GPT: dict[str, Any] = {**_ENDS, "vocab_size": WORDS, "n_embd": 32, "n_layer": 2, "n_head": 4}
_BLOOM = {**_ENDS, "vocab_size": WORDS, "hidden_size": 32, "n_layer": 2, "n_head": 4}
_MPT = {**_ENDS, "vocab_size": WORDS, "d_model": 32, "n_layers": 2, "n_heads": 4, "max_seq_len": 64}
_MOE = {"num_experts_per_tok": 2, "moe_intermediate_size": 24}
_SHARED = {**_MOE, "shared_expert_intermediate_size": 24}
_WINDOW = {"sliding_window": 8}
_GEMMA = {**_HEADS, **_WINDOW, "query_pre_attn_scalar": 8}
_MLA = {
    "kv_lora_rank": 8,
    "q_lora_rank": 8,
    "qk_rope_head_dim": 8,
    "qk_nope_head_dim": 8,
    "v_head_dim": 8,
}
_LINEAR = {
    "linear_num_value_heads": 4,
    "linear_num_key_heads": 2,
    "linear_key_head_dim": 8,
    "linear_value_head_dim": 8,
    "layer_types": ["linear_attention", "full_attention"],
}
_STATES = {**_ENDS, "vocab_size": WORDS, "hidden_size": 32, "num_hidden_layers": 2, "state_size": 4}
_HYBRID_MAMBA = {
    "mamba_n_heads": 4,
    "mamba_d_head": 16,
    "mamba_d_state": 4,
    "mamba_n_groups": 1,
    "mamba_chunk_size": 8,
}

# By name: the class of the configuration, that of the model, and the sizes.
ARCHITECTURES: Mapping[str, tuple[str, str, Mapping[str, Any]]] = {
    "llama": ("LlamaConfig", "LlamaForCausalLM", _LLAMA),
    "mistral": ("MistralConfig", "MistralForCausalLM", {**_HEADS, **_WINDOW}),
    "ministral3": ("Ministral3Config", "Ministral3ForCausalLM", _HEADS),
    "qwen2": ("Qwen2Config", "Qwen2ForCausalLM", {**_LLAMA, "tie_word_embeddings": True}),
    "qwen3": ("Qwen3Config", "Qwen3ForCausalLM", {**_HEADS, "tie_word_embeddings": True}),
    "gemma": ("GemmaConfig", "GemmaForCausalLM", _HEADS),
    "gemma2": ("Gemma2Config", "Gemma2ForCausalLM", _GEMMA),
    "gemma3_text": (
        "Gemma3TextConfig",
        "Gemma3ForCausalLM",
        {**_GEMMA, "layer_types": ["sliding_attention", "full_attention"]},
    ),
    "phi": ("PhiConfig", "PhiForCausalLM", {**_BASIC, **_POSITIONS}),
    "phi3": ("Phi3Config", "Phi3ForCausalLM", {**_LLAMA, "original_max_position_embeddings": 64}),
    "gpt2": ("GPT2Config", "GPT2LMHeadModel", {**_GPT, "n_positions": 64}),
    "gpt_bigcode": ("GPTBigCodeConfig", "GPTBigCodeForCausalLM", {**_GPT, "n_positions": 64}),
    "gptj": ("GPTJConfig", "GPTJForCausalLM", {**_GPT, "n_positions": 64, "rotary_dim": 4}),
    "gpt_neox": ("GPTNeoXConfig", "GPTNeoXForCausalLM", {**_BASIC, **_POSITIONS}),
    "gpt_oss": (
        "GptOssConfig",
        "GptOssForCausalLM",
        {
            **_HEADS,
            **_WINDOW,
            "num_local_experts": 4,
            "num_experts_per_tok": 2,
            "layer_types": ["sliding_attention", "full_attention"],
        },
    ),
    "opt": (
        "OPTConfig",
        "OPTForCausalLM",
        {**_BASIC, **_POSITIONS, "ffn_dim": 48, "word_embed_proj_dim": 32},
    ),
    "bloom": ("BloomConfig", "BloomForCausalLM", _BLOOM),
    "mpt": ("MptConfig", "MptForCausalLM", _MPT),
    "falcon": ("FalconConfig", "FalconForCausalLM", _BASIC),
    "falcon, alibi": ("FalconConfig", "FalconForCausalLM", {**_BASIC, "alibi": True}),
    "starcoder2": ("Starcoder2Config", "Starcoder2ForCausalLM", _LLAMA),
    "stablelm": ("StableLmConfig", "StableLmForCausalLM", _LLAMA),
    "olmo2": ("Olmo2Config", "Olmo2ForCausalLM", _LLAMA),
    "olmo3": ("Olmo3Config", "Olmo3ForCausalLM", {**_LLAMA, **_WINDOW}),
    "olmoe": ("OlmoeConfig", "OlmoeForCausalLM", {**_LLAMA, "num_experts": 4, **_MOE}),
    "cohere": ("CohereConfig", "CohereForCausalLM", {**_LLAMA, "logit_scale": 0.25}),
    "cohere2": ("Cohere2Config", "Cohere2ForCausalLM", {**_HEADS, **_WINDOW}),
    "granite": (
        "GraniteConfig",
        "GraniteForCausalLM",
        {**_LLAMA, "logits_scaling": 4.0, "embedding_multiplier": 2.0},
    ),
    "granitemoe": (
        "GraniteMoeConfig",
        "GraniteMoeForCausalLM",
        {**_LLAMA, "num_local_experts": 4, "num_experts_per_tok": 2},
    ),
    "granitemoehybrid": (
        "GraniteMoeHybridConfig",
        "GraniteMoeHybridForCausalLM",
        {
            **_LLAMA,
            **_HYBRID_MAMBA,
            "num_local_experts": 4,
            "num_experts_per_tok": 2,
            "shared_intermediate_size": 24,
            "layer_types": ["mamba", "attention"],
        },
    ),
    "glm4": ("Glm4Config", "Glm4ForCausalLM", _HEADS),
    "glm4_moe": (
        "Glm4MoeConfig",
        "Glm4MoeForCausalLM",
        {**_HEADS, **_MOE, "n_routed_experts": 4, "n_group": 1, "topk_group": 1},
    ),
    "smollm3": ("SmolLM3Config", "SmolLM3ForCausalLM", _LLAMA),
    "nemotron": ("NemotronConfig", "NemotronForCausalLM", _LLAMA),
    "exaone4": ("Exaone4Config", "Exaone4ForCausalLM", {**_LLAMA, **_WINDOW}),
    "ernie4_5": ("Ernie4_5Config", "Ernie4_5ForCausalLM", _HEADS),
    "hunyuan": ("HunYuanDenseV1Config", "HunYuanDenseV1ForCausalLM", _HEADS),
    "apertus": ("ApertusConfig", "ApertusForCausalLM", _LLAMA),
    "lfm2": (
        "Lfm2Config",
        "Lfm2ForCausalLM",
        {**_LLAMA, "layer_types": ["conv", "full_attention"]},
    ),
    "mixtral": (
        "MixtralConfig",
        "MixtralForCausalLM",
        {**_LLAMA, "num_local_experts": 4, "num_experts_per_tok": 2},
    ),
    "qwen2_moe": ("Qwen2MoeConfig", "Qwen2MoeForCausalLM", {**_LLAMA, "num_experts": 4, **_SHARED}),
    "qwen3_moe": ("Qwen3MoeConfig", "Qwen3MoeForCausalLM", {**_HEADS, "num_experts": 4, **_MOE}),
    "qwen3_next": (
        "Qwen3NextConfig",
        "Qwen3NextForCausalLM",
        {**_HEADS, "num_experts": 4, **_SHARED, **_LINEAR},
    ),
    "deepseek_v3": (
        "DeepseekV3Config",
        "DeepseekV3ForCausalLM",
        {
            **_BASIC,
            **_POSITIONS,
            **_MOE,
            **_MLA,
            "num_key_value_heads": 4,
            "n_routed_experts": 4,
            "n_shared_experts": 1,
            "n_group": 1,
            "topk_group": 1,
            "first_k_dense_replace": 1,
        },
    ),
    "mamba": ("MambaConfig", "MambaForCausalLM", _STATES),
    "mamba2": (
        "Mamba2Config",
        "Mamba2ForCausalLM",
        {**_STATES, "num_heads": 4, "head_dim": 16, "n_groups": 1, "chunk_size": 8},
    ),
    "falcon_mamba": ("FalconMambaConfig", "FalconMambaForCausalLM", _STATES),
    "falcon_h1": (
        "FalconH1Config",
        "FalconH1ForCausalLM",
        {**_HEADS, **_HYBRID_MAMBA, "mamba_d_ssm": 64},
    ),
    "jamba": (
        "JambaConfig",
        "JambaForCausalLM",
        {
            **_LLAMA,
            "num_experts": 4,
            "num_experts_per_tok": 2,
            "attn_layer_period": 2,
            "attn_layer_offset": 1,
            "expert_layer_period": 2,
            "expert_layer_offset": 1,
            "mamba_d_state": 4,
            "mamba_dt_rank": 4,
            "use_mamba_kernels": False,
        },
    ),
    "bamba": (
        "BambaConfig",
        "BambaForCausalLM",
        {**_LLAMA, **_HYBRID_MAMBA, "attn_layer_indices": [1]},
    ),
    "recurrent_gemma": (
        "RecurrentGemmaConfig",
        "RecurrentGemmaForCausalLM",
        {
            **_BASIC,
            "num_hidden_layers": 3,
            "num_key_value_heads": 1,
            "attention_window_size": 8,
            "lru_width": 32,
        },
    ),
    "gpt_neo": (
        "GPTNeoConfig",
        "GPTNeoForCausalLM",
        {
            **_ENDS,
            **_POSITIONS,
            "vocab_size": WORDS,
            "hidden_size": 32,
            "num_layers": 2,
            "num_heads": 4,
            "attention_types": [[["global", "local"], 1]],
            "window_size": 8,
        },
    ),
    "codegen": (
        "CodeGenConfig",
        "CodeGenForCausalLM",
        {**_GPT, "n_positions": 64, "n_ctx": 64, "rotary_dim": 4},
    ),
    "nanochat": ("NanoChatConfig", "NanoChatForCausalLM", _LLAMA),
    "arcee": ("ArceeConfig", "ArceeForCausalLM", _LLAMA),
    "seed_oss": ("SeedOssConfig", "SeedOssForCausalLM", _HEADS),
    "helium": ("HeliumConfig", "HeliumForCausalLM", _HEADS),
    "olmo": ("OlmoConfig", "OlmoForCausalLM", _LLAMA),
    "persimmon": ("PersimmonConfig", "PersimmonForCausalLM", {**_BASIC, **_POSITIONS}),
    "phimoe": (
        "PhimoeConfig",
        "PhimoeForCausalLM",
        {**_LLAMA, "num_local_experts": 4, "num_experts_per_tok": 2},
    ),
    "ernie4_5_moe": (
        "Ernie4_5_MoeConfig",
        "Ernie4_5_MoeForCausalLM",
        {**_LLAMA, "moe_num_experts": 4, "moe_k": 2, "moe_intermediate_size": 24},
    ),
    "lfm2_moe": (
        "Lfm2MoeConfig",
        "Lfm2MoeForCausalLM",
        {
            **_LLAMA,
            **_MOE,
            "num_experts": 4,
            "num_dense_layers": 1,
            "layer_types": ["conv", "full_attention"],
        },
    ),
    "llama4_text": (
        "Llama4TextConfig",
        "Llama4ForCausalLM",
        {
            **_HEADS,
            "intermediate_size_mlp": 48,
            "num_local_experts": 4,
            "interleave_moe_layer_step": 2,
            "attention_chunk_size": 16,
        },
    ),
    "dbrx": (
        "DbrxConfig",
        "DbrxForCausalLM",
        {
            **_MPT,
            "attn_config": {"kv_n_heads": 2, "clip_qkv": 8, "rope_theta": 10000.0},
            "ffn_config": {"ffn_hidden_size": 48, "moe_num_experts": 4, "moe_top_k": 2},
        },
    ),
    "minimax": (
        "MiniMaxConfig",
        "MiniMaxForCausalLM",
        {
            **_HEADS,
            "num_local_experts": 4,
            "num_experts_per_tok": 2,
            "block_size": 8,
            "layer_types": ["linear_attention", "full_attention"],
        },
    ),
    "qwen3_5_text": ("Qwen3_5TextConfig", "Qwen3_5ForCausalLM", {**_HEADS, **_LINEAR}),
    "nemotron_h": (
        "NemotronHConfig",
        "NemotronHForCausalLM",
        {
            **_HEADS,
            "layers_block_type": ["mamba", "attention"],
            "mamba_num_heads": 4,
            "mamba_head_dim": 16,
            "ssm_state_size": 4,
            "n_groups": 1,
            "chunk_size": 8,
        },
    ),
    "zamba2": (
        "Zamba2Config",
        "Zamba2ForCausalLM",
        {
            **_BASIC,
            **_POSITIONS,
            "num_key_value_heads": 4,
            "mamba_d_state": 4,
            "mamba_ngroups": 1,
            "n_mamba_heads": 2,
            "chunk_size": 8,
            "num_mem_blocks": 1,
            "layers_block_type": ["mamba", "hybrid"],
        },
    ),
    "rwkv": (
        "RwkvConfig",
        "RwkvForCausalLM",
        {**_ENDS, "vocab_size": WORDS, "hidden_size": 32, "num_hidden_layers": 2},
    ),
    "bert": ("BertConfig", "BertLMHeadModel", {**_BASIC, **_POSITIONS}),
    "bert, decoder": (
        "BertConfig",
        "BertLMHeadModel",
        {**_BASIC, **_POSITIONS, "is_decoder": True},
    ),
    "t5": (
        "T5Config",
        "T5ForConditionalGeneration",
        {"vocab_size": WORDS, "d_model": 32, "d_kv": 8, "d_ff": 48, "num_layers": 2}
        | {"num_heads": 4, "pad_token_id": 0, "eos_token_id": EOS, "decoder_start_token_id": 0},
    ),
}


def write_tiny(name: str, folder: Path) -> str:
    """A model of the architecture with random weights, and its tokenizer."""
    import torch
    import transformers

    torch.set_num_threads(1)
    config, model, sizes = ARCHITECTURES[name]
    making: Callable[[Any], Any] = getattr(transformers, model)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        made = making(getattr(transformers, config)(**sizes))
    made.save_pretrained(folder)
    write_words(folder)
    return str(folder)
