"""Text, prepared for people and for search. Standard library only."""
