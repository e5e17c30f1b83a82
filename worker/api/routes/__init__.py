"""The operations of the API, by subject; each module has `operations(context)`."""
