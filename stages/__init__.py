"""The stages of the graph, one file each: ordinary classes that do not know Ray."""
