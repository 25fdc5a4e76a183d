"""What a template does with a tokenizer, found by probes, in words."""
