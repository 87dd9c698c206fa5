"""Columns of a table as conditions read them: typed, missing-aware, in Arrow and numpy."""
