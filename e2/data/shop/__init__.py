"""Exports of shop systems: Shopify, Google Merchant feeds, JSON and any table become catalogues."""
