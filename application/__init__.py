"""The verbs: load a session, decide, append, and carry out what the log authorises, all over ports."""
