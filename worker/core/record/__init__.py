"""Record rules: what files are called, and at which instants they begin and end."""
