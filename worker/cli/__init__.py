"""The commands, one file each; `exits.py` lists the exit codes."""
