"""Helpers under the names of reqivo's earlier API."""
