"""Plug-ins of another package, each brought by one entry point."""
