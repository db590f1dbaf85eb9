"""The search app: one page for people and a JSON API for programs, over a product index.

``models`` runs the models for many users at once, ``service`` answers searches, ``api`` serves both on HTTP, ``server`` runs
it.
"""
