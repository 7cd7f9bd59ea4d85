"""What can be seen from outside: metrics, health, and the HTTP thread that serves them."""
