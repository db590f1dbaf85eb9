"""Speed as ratios: our code against a plain reference, in turn, in one process on one machine (`e2 speed NAME`)."""
