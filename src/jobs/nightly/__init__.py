"""A job with arguments, a file of its own, and a shell script that starts it beside a Ray cluster."""
