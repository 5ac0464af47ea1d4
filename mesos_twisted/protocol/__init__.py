"""What a framework, an executor and an operator say on the wire."""
