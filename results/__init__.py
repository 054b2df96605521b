"""Measured numbers as JSON, and the tables that are made from them."""
