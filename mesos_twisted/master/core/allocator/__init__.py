"""Who is offered what: the policy behind one interface, and two built-in ones."""
