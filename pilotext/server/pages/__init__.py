"""Pages of the server for people: one file a page, made of the same records as the API."""
