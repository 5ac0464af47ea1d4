"""The master: offers resources, keeps the books, forwards what agents and frameworks say."""
