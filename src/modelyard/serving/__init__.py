"""Answering: one text, many texts, or a small HTTP service, from a verified release."""
