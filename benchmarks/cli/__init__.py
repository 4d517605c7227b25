"""The command line: run, status, list, describe, mine, evaluate, export, doctor."""
