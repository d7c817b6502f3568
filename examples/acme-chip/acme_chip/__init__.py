"""The ACME 256, an invented chip: what afmc needs to know of it."""
