"""`imaging-platform process`: all that the sensors would start, without the daemon."""
