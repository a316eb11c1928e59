"""The gRPC edge: it converts, calls the core, and converts back."""
