"""How the packages of a definition get into a tree: one package for each package manager."""
