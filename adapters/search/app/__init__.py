"""The search app: one page for people and a JSON API for programs, over a product index.

``models`` asks the models (many users at once), ``service`` answers searches, ``api`` puts both on HTTP, ``server`` runs it.
"""
