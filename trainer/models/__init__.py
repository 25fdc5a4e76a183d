"""The network: loaded, adapted, shared out, and what is put into it for training."""
