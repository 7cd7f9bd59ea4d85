"""The console: a page to see what is going on, and to try an application."""
