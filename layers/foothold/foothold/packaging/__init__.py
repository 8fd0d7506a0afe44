"""One build, packaged for every region."""
