"""Pure decisions of a containerizer: values, states, plans and limits."""
