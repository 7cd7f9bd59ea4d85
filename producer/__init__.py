"""The client for publishers: sends applications, and reads their decisions."""
