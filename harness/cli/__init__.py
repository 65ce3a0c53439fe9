"""The command line: one file per command or group of commands, and what they print."""
