"""Makes what the tests of several rooms need (`planted`, `rectangles`, `made_records`, …) importable."""
