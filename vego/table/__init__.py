"""Tables: rows of a collection, durable and versioned."""
