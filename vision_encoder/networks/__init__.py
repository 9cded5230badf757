"""Networks written out layer by layer, without the weights that fill them."""
