"""How an agent runs processes: containerizers, launchers and isolators behind interfaces."""
