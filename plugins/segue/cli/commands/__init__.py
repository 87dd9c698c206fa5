"""The commands, one module for each subject; ``segue.cli.main`` puts them together."""
