"""Keys as control publishes them and workers find them."""
