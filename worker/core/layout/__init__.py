"""From a layout and a roster to a scene: where every tile lies and what fills it."""
