"""The passes of the compiler: each a function from plain data to plain data."""
