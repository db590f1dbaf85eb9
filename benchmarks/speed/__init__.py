"""Speed as ratios: our way against a plain reference, in turn, in one process on one machine (`e2 speed NAME`)."""
