"""Re-rankers: slower models that look closely at the first hits of a search and order them anew. Off unless asked for."""
