"""The master's state as API documents. Pure: nothing here knows a request."""
