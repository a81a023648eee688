"""What both apps stand on and what knows no Django."""
