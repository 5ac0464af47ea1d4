"""Types and field numbers made by tools/generate_protocol.py; never edited by hand."""
