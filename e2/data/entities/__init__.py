"""Entities of a catalogue that no column names: proposed, edited by a person, read by ``--tags FILE.yaml``."""
