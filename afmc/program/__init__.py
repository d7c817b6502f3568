"""The program: everything the compiler decided, as plain data."""
