"""The TOKENS folder: its columns, its manifest, its preference pairs."""
