"""The inbox: one SQLite file between the people (and programs) who rank and the runs that train."""

INBOX_FILE = "inbox.sqlite"  # in var/
