"""The command line: parse, call a pipeline, present. Each command is a module; none of them computes."""
