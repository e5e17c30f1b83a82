"""One job from join to finished file: schedules, never touches a codec or a socket."""
