"""Auth classes that sign for HTTP clients; each module imports its own library."""
