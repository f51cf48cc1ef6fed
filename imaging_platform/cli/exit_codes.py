"""What a command says to the program that called it."""

FAILED = 1
WRONG_USE = 2
HELD = 3
"""Done as far as it goes; something was kept back for a person."""
