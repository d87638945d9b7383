"""Makes what the tests of several rooms need (`planted`, `rectangles`, …) importable."""
