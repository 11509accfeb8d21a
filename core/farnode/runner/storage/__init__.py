"""Directories of a pod: what it is given, what it may scribble on, and their removal.

volumes       those of an attempt;  content  files that are replaced as a whole;  subpath  parts of volumes
sitepath      what the site has on its nodes;  hosts  /etc/hosts;  scratch  private directories;  removal  their end
threads       where all that is done that may take long
"""
