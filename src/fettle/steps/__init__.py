"""Steps: artifact directories in, one artifact directory out."""
