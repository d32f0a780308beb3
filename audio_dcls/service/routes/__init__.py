"""The HTTP routes: each validates a request, calls one method, and sends the result."""
