"""What a campaign's target may be written as, and what of it nothing can meet: clauses, conditions, reach."""
