# Pods by the kubectl of this machine.

reach() {
  sh -c 'script=$(cat) && eval "$script"' rashomon "$@"
}

close() { :; }

# A cluster may take a policy and do nothing about it: so each link is tried.
severed() {
  on_all "$(receivers)" probe partition "$fault" || return
  on_all "$(senders)" unheard
}
