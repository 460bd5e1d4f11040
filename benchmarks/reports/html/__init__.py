"""The report as one self-contained page: tables, charts and a budget panel, without network."""
