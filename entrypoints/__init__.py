"""What people and scripts touch: settings come in, adapters are joined, the verbs are called, tables go out."""
