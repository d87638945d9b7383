"""How well colours are predicted: what is measured of a coloured image, and of all of them."""
