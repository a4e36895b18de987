"""Records of `/api/v1`, one file a resource, shared by server, client and command; OpenAPI is made of them."""
