"""What is said instead of a traceback."""

from __future__ import annotations


class LabError(Exception):
    """Something an engineer can put right; its text is the sentence that says what and how."""
