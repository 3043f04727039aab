# Nodes that are broken from this machine, by the command line of whoever keeps them.

reach() {
  sh -c 'script=$(cat) && eval "$script"' rashomon "$@"
}

close() { :; }
