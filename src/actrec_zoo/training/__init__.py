"""From a model and clips to a run folder."""
