"""The ranking page: a small web application on the inbox, for annotators and their leads."""
