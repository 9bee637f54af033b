"""Trains, measures and exports the function-as-step reward model. Holds no prompt text and no parser."""
