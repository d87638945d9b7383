"""What is done to images before an encoder sees them."""
