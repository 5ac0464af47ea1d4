`./run` on a machine whose Python has no venv ends with the command to copy, sudo included.
