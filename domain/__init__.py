"""The rules: a command and the state of a session go in, the events that follow (or a refusal) come out."""
