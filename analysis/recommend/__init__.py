"""From pairs to a recipe: the audit's pages, the race, the decision, and what is handed over."""
