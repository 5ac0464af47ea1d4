"""An agent's state as the documents its API shows. Pure: reads the state, changes nothing."""
