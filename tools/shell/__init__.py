"""The shell: statements are parsed, answered from a catalog of tables, and rendered; each part stands alone."""
