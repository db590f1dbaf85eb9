"""Fetches photos from the web: politely, without trusting the servers, and without losing any to an outage."""
