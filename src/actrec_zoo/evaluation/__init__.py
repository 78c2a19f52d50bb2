"""One evaluator for validation, `eval` and the card."""
