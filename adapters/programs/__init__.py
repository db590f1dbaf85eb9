"""Any encoder inside benchmark programs and libraries of others; each file follows the other program's own interface."""
