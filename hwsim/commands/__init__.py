"""One file per `hwsim` command; each is imported only when it is called."""
