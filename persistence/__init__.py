"""The log and the read models: envelopes become lines, lines become rows, and nothing is ever changed in place."""
