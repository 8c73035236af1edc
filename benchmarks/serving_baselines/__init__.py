"""What the packaged service is measured against: programs of their own, as their documentation has them."""
