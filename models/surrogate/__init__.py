"""Which value a crystal will have, from what is known of others: features, models, their choice and their calibration."""
