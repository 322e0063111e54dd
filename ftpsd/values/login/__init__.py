"""Values of a login: methods, hours, second factors, the client's certificate."""
