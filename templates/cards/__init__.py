"""What a template does with a tokenizer, found by probes and said in words."""
